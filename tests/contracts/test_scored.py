"""Every decoder and recurrent language model under a head of scores: folders, lengths, gradients, refusals."""

import json
import pathlib

import pytest
import torch

from tests.contracts.tracers import LENGTHS, TRACERS, Tracer, texts
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.checkpoints.stored_tensors import StoredTensors
from trivium.errors import ConfigError, Unsupported
from trivium.lm.purpose import purpose_of_folder
from trivium.models.scored import ScoredConfig, scored, with_scores

LABELS = ("helpful", "harmless")
SCORING = [tracer for tracer in TRACERS if tracer.row.kind in ("decoder", "recurrent")]
every_scorer = pytest.mark.parametrize("tracer", SCORING, ids=lambda tracer: tracer.label.replace(" ", "-"))


def scores(network: torch.nn.Module, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    given = torch.tensor(lengths)
    return network.classify(network(tokens, lengths=given).hidden, given)


@every_scorer
def test_a_folder_keeps_every_score(tracer: Tracer, tmp_path: pathlib.Path) -> None:
    network = with_scores(tracer.build(), LABELS, pad_id=2)
    expected = scores(network, texts(), LENGTHS)
    assert expected.shape == (len(LENGTHS), len(LABELS))
    save_folder(tmp_path / "m", network)
    opened = load_model(tmp_path / "m", dtype=torch.float64)
    assert isinstance(opened, tracer.row.model_class())
    assert opened.config.to_hf() == network.config.to_hf()
    assert torch.equal(scores(opened, texts(), LENGTHS), expected)
    names = StoredTensors(tmp_path / "m").all
    assert "score.weight" in names
    assert not {"score.bias", "lm_head.weight", "lm_head.bias", "head.weight", "head.bias"} & set(names)
    told = json.loads((tmp_path / "m" / "config.json").read_text())
    assert told["architectures"][0].endswith("ForSequenceClassification")
    assert (told["problem_type"], told["id2label"], told["pad_token_id"]) == (
        "regression",
        {"0": "helpful", "1": "harmless"},
        2,
    )
    assert purpose_of_folder(tmp_path / "m") == "regression"


@every_scorer
def test_the_last_token_is_read_whatever_stands_beyond_it(tracer: Tracer) -> None:
    network = with_scores(tracer.build())
    together = scores(network, texts(), LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = scores(network, texts()[[row], :length], [length])
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-10)
        shorter = scores(network, texts()[[row], : length - 1], [length - 1])
        assert (shorter - alone).abs().max() > 1e-6  # far above rounding; some bodies begin with small states


@every_scorer
def test_all_of_the_body_learns(tracer: Tracer) -> None:
    network = scored(ScoredConfig(body=tracer.config(), labels=LABELS)).train()
    given = torch.tensor(LENGTHS)
    output = network(texts(), lengths=given)
    assert not set(output.auxiliary) & {"z"}  # of logits, of which there are none
    (network.classify(output.hidden, given).sum() + sum(output.auxiliary.values())).backward()
    assert all(
        name.startswith(("blocks.", "classify.")) or p.grad is not None for name, p in network.named_parameters()
    )
    assert network.classify.output.weight.grad is not None
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.blocks.parameters())


def tiny() -> Tracer:
    return next(tracer for tracer in SCORING if tracer.row.name == "llama")


def test_scores_begin_with_a_spread_of_one() -> None:
    network = with_scores(tiny().row.model_class()(tiny().config(width=64)), tuple(f"n{i}" for i in range(200)))
    assert network.classify.output.weight.std().item() == pytest.approx(65**-0.5, rel=0.05)


def test_a_head_of_scores_takes_the_place_of_another_one() -> None:
    first = with_scores(tiny().build())
    again = with_scores(first, LABELS)
    assert again.config.body == tiny().config()
    assert again.config.labels == LABELS


def test_a_scorer_can_be_packed(tmp_path: pathlib.Path) -> None:
    """QLoRA's base: the matrices of the blocks in 4 bits as they are read, the head as it is."""
    network = with_scores(tiny().build())
    save_folder(tmp_path / "m", network, dtype=torch.float32)
    packed = load_model(tmp_path / "m", nf4=True)
    torch.testing.assert_close(packed.classify.output.weight, network.classify.output.weight.float())
    assert not any(isinstance(module, torch.nn.Linear) for module in packed.blocks.modules())


def test_an_encoder_has_heads_of_its_own() -> None:
    tracer = next(tracer for tracer in TRACERS if tracer.row.name == "bert")
    with pytest.raises(Unsupported, match="encoders have heads"):
        with_scores(tracer.build())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem_type": "single_label_classification"}, "numbers"),
        ({"problem_type": "multi_label_classification"}, "multi_label_classification"),
        ({"problem_type": None}, "numbers"),
    ],
    ids=["classes", "several-labels", "two-outputs-of-which-nothing-is-said"],
)
def test_a_head_that_tells_labels_is_refused(changes: dict, message: str, tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "m", with_scores(tiny().build(), LABELS))
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (tmp_path / "m" / "manifest.json").unlink()
    with pytest.raises(Unsupported, match=message):
        load_model(tmp_path / "m")


def test_a_padding_id_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigError, match="pad_id"):
        with_scores(tiny().build(), pad_id=10_000)
