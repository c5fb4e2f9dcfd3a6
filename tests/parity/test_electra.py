"""Our ELECTRA is ``transformers``' ELECTRA under every head: equal logits, losses and gradients, both ways."""

import json
import pathlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from torch import Tensor

from trivium.errors import ConfigError, Unsupported
from trivium.models.electra import SIZES, Electra, ElectraConfig, generator_of, weight_map
from trivium.nn.weight_map import export, load_into

SHAPE = {
    "vocab_size": 61,
    "embedding_size": 12,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
KINDS = {
    "language": transformers.ElectraForMaskedLM,
    "replaced": transformers.ElectraForPreTraining,
    "classification": transformers.ElectraForSequenceClassification,
    "regression": transformers.ElectraForSequenceClassification,
    "tagging": transformers.ElectraForTokenClassification,
    "span": transformers.ElectraForQuestionAnswering,
    "none": transformers.ElectraModel,
}
LABELS = {"classification": ["bad", "good", "neither"], "regression": ["score"], "tagging": ["O", "B-x", "I-x"]}
every_head = pytest.mark.parametrize("head", KINDS)


def labelled(head: str) -> dict[str, Any]:
    """What a ``config.json`` says of the labels of a head."""
    names = LABELS.get(head)
    if names is None:
        return {}
    numbered = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    return numbered | ({"problem_type": "regression"} if head == "regression" else {})


def pair(head: str, **changes: object) -> tuple[transformers.PreTrainedModel, Electra]:
    torch.manual_seed(1)
    stated = {**SHAPE, **labelled(head), **changes}
    theirs = KINDS[head](transformers.ElectraConfig(**stated)).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    config = ElectraConfig.from_hf({**theirs.config.to_dict(), "architectures": [KINDS[head].__name__]})
    assert config.head == head
    ours = Electra(config).eval()
    stored = theirs.state_dict()
    load_into(ours, weight_map(config), stored, stored.__getitem__)
    return theirs, ours


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.tensor([17, 5, 9])
    return {
        "tokens": torch.randint(61, (3, 17), generator=generator),
        "lengths": lengths,
        "valid": torch.arange(17) < lengths[:, None],
        "types": (torch.arange(17) > 3).long().expand(3, 17),
        "targets": torch.randint(61, (3, 17), generator=generator),
        "places": torch.tensor([3, 1, 7]),
    }


def inputs_of(data: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"input_ids": data["tokens"], "attention_mask": data["valid"].long(), "token_type_ids": data["types"]}


def read(model: Electra, data: dict[str, Tensor]) -> Tensor:
    return model(data["tokens"], lengths=data["lengths"], token_types=data["types"]).hidden


def their_answer(theirs: transformers.PreTrainedModel, head: str, data: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the head says at valid positions, and the mean loss as ``transformers`` has it."""
    valid, targets = data["valid"], data["targets"]
    labels = {
        "language": {"labels": targets.masked_fill(~valid, -100)},
        "replaced": {"labels": targets % 2},
        "classification": {"labels": targets[:, 0] % 3},
        "regression": {"labels": targets[:, 0].float()},
        "tagging": {"labels": (targets % 3).masked_fill(~valid, -100)},
        "span": {"start_positions": data["places"], "end_positions": data["places"] + 1},
        "none": {},
    }[head]
    answer = theirs(**inputs_of(data), **labels)
    if head == "none":
        hidden = answer.last_hidden_state[valid]
        return hidden, hidden.square().mean()
    if head == "span":
        return torch.stack([answer.start_logits, answer.end_logits], -1)[valid], _masked_spans(answer, data)
    return (answer.logits if head in ("classification", "regression") else answer.logits[valid]), answer.loss


def _masked_spans(answer: Any, data: dict[str, Tensor]) -> Tensor:
    """``transformers`` lets answers lie in the padding; ours do not."""
    scores = (logits.masked_fill(~data["valid"], -torch.inf) for logits in (answer.start_logits, answer.end_logits))
    ends = (data["places"], data["places"] + 1)
    return sum(F.cross_entropy(score, place) for score, place in zip(scores, ends, strict=True)) / 2


def our_answer(ours: Electra, head: str, data: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    hidden, valid, targets = read(ours, data), data["valid"], data["targets"]
    words = torch.arange(17).expand(3, 17)
    if head == "language":
        total = ours.head.nll_sum(hidden[valid], targets[valid])
        return ours.head.logits(hidden[valid]), total / valid.sum()
    if head == "replaced":
        logits = ours.replaced(hidden)[valid]
        return logits, F.binary_cross_entropy_with_logits(logits, (targets[valid] % 2).float())
    if head == "tagging":
        total = ours.tag.nll_sum(hidden, words, data["lengths"], targets % 3)
        return ours.tag.scores(hidden, words)[valid], total / valid.sum()
    if head == "span":
        total = ours.span.nll_sum(hidden, data["lengths"], data["places"], data["places"] + 1)
        return ours.span.scores(hidden, data["lengths"])[valid], total / 3
    if head == "none":
        return hidden[valid], hidden[valid].square().mean()
    logits = ours.classify(hidden, data["lengths"])
    if head == "regression":
        return logits, F.mse_loss(logits[:, 0], targets[:, 0].float())
    return logits, F.cross_entropy(logits, targets[:, 0] % 3)


@every_head
@pytest.mark.parametrize("embedding_width", [12, 24])
def test_logits_loss_and_gradients(head: str, embedding_width: int) -> None:
    theirs, ours = pair(head, embedding_size=embedding_width, hidden_act="gelu" if embedding_width == 12 else "relu")
    data = batch()
    (wanted, loss), (logits, our_loss) = their_answer(theirs, head, data), our_answer(ours, head, data)
    assert (logits - wanted).abs().max() / wanted.abs().max() < 1e-5
    torch.testing.assert_close(our_loss, loss, rtol=1e-5, atol=0)
    loss.backward()
    our_loss.backward()
    gradients = {name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, weight_map(ours.config)))
    largest = max(parameter.grad.abs().max() for parameter in theirs.parameters())
    for name, parameter in theirs.named_parameters():
        # What moves all scores of a softmax alike (a key's bias) has a gradient of 0 but for rounding.
        scale = max(parameter.grad.abs().max(), 1e-2 * largest)
        assert (mapped[name] - parameter.grad).abs().max() <= 1e-4 * scale, name


@every_head
@pytest.mark.parametrize("tied", [True, False])
def test_folder_opens_in_transformers(head: str, tied: bool, tmp_path: pathlib.Path) -> None:
    _, ours = pair(head, tie_word_embeddings=tied, classifier_dropout=0.3)
    (tmp_path / "config.json").write_text(json.dumps(ours.config.to_hf()))
    save_file(dict(export(ours.state_dict(), weight_map(ours.config))), tmp_path / "model.safetensors")
    theirs, report = KINDS[head].from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["missing_keys"]
    data = batch()
    wanted, _ = their_answer(theirs.eval(), head, data)
    assert (our_answer(ours, head, data)[0] - wanted).abs().max() / wanted.abs().max() < 1e-5
    theirs.save_pretrained(tmp_path / "again")
    assert ElectraConfig.from_hf(json.loads((tmp_path / "again" / "config.json").read_text())) == ours.config


def test_attention_to_look_at() -> None:
    theirs, ours = pair("replaced")
    theirs.set_attn_implementation("eager")
    data = batch()
    wanted = theirs(**inputs_of(data), output_attentions=True).attentions
    output = ours(data["tokens"], lengths=data["lengths"], token_types=data["types"], collect=("attention",))
    for mine, yours in zip(output.collected["attention"], wanted, strict=True):
        torch.testing.assert_close(mine, yours, rtol=0, atol=1e-6)


def test_published_sizes() -> None:
    """Tables 1 and 2 of the paper count 14, 110 and 335 million for the discriminators."""
    wanted = {
        "electra-small-discriminator": 13_549_057,
        "electra-small-generator": 4_620_026,
        "electra-base-discriminator": 109_483_009,
        "electra-large-discriminator": 335_142_913,
    }
    for name, count in wanted.items():
        with torch.device("meta"):
            ours = Electra(SIZES[name])
            theirs = KINDS[ours.config.head](transformers.ElectraConfig.from_dict(ours.config.to_hf()))
        assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) == count, name
    assert SIZES["electra-small-generator"].width == 64
    assert SIZES["electra-base-generator"].width == SIZES["electra-large-generator"].width == 256


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(Unsupported, match="ElectraForCausalLM"):
        ElectraConfig.from_hf({"architectures": ["ElectraForCausalLM"]})
    with pytest.raises(Unsupported, match="position_embedding_type"):
        ElectraConfig.from_hf({"position_embedding_type": "relative_key"})
    with pytest.raises(ConfigError, match="do not divide"):
        ElectraConfig(width=10, heads=4)
    with pytest.raises(ConfigError, match="share"):
        generator_of(ElectraConfig(), 0.0)
    model = Electra(ElectraConfig.from_hf(SHAPE))
    with pytest.raises(ConfigError, match="longer than the model's learned positions"):
        model(torch.zeros(1, 21, dtype=torch.long))
