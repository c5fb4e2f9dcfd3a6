"""ELECTRA's pair: what the two share, what is published, and that it trains like any model: resumed, sharded."""

import json
import pathlib
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.training.test_parallel import in_processes
from trivium.data.batches import MaskedBatch
from trivium.models.electra import ElectraConfig, weight_map
from trivium.models.electra_pair import ElectraPair, part_of
from trivium.nn.weight_map import export
from trivium.objectives.replaced import replaced_token_detection
from trivium.runtime.processes import Place
from trivium.training import parallel
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig

V = 23
CONFIG = ElectraConfig(
    vocabulary_size=V,
    embedding_width=10,
    width=16,
    layers=2,
    heads=2,
    inner_width=24,
    context_tokens=12,
    head="replaced",
)


def made(**changes: Any) -> ElectraPair:
    torch.manual_seed(1)
    return ElectraPair(ElectraConfig(**{**vars(CONFIG), **changes}), generator_share=1 / 2).double()


def learner_of(model: ElectraPair) -> SupervisedLearner:
    settings = SupervisedConfig(optimiser=OptimiserConfig(kind="muon"), micro_batches=2, ema_decay=0.9)
    return SupervisedLearner(model, replaced_token_detection, settings, steps=10)


def batch(number: int, rows: int = 8) -> MaskedBatch:
    generator = torch.Generator().manual_seed(number)
    targets, lengths = (
        torch.randint(V, (rows, 9), generator=generator),
        torch.randint(3, 10, (rows,), generator=generator),
    )
    mask = (torch.rand(rows, 9, generator=generator) < 0.3) & (torch.arange(9) < lengths[:, None])
    mask[:, 1] = True
    return MaskedBatch(targets.masked_fill(mask, 0), targets, mask, lengths)


def test_the_two_share_what_they_read_with() -> None:
    model = made()
    shared = {"embedding.weight", "positions.weight", "token_types.weight"}
    ours = dict(model.generator.named_parameters())
    for name, parameter in model.discriminator.named_parameters():
        assert (ours.get(name) is parameter) == (name in shared), name
    assert model.generator.head.output.weight is model.discriminator.embedding.weight
    assert (model.generator.config.width, model.generator.config.layers) == (8, 2)
    assert sum(p.numel() for p in model.parameters()) < sum(
        p.numel() for part in (model.generator, model.discriminator) for p in part.parameters()
    )


def test_as_a_network_it_is_its_discriminator() -> None:
    model, tokens = made().eval(), batch(1).targets
    assert torch.equal(model(tokens).hidden, model.discriminator(tokens).hidden)
    assert torch.equal(model(tokens, part="generator").hidden, model.generator(tokens).hidden)
    assert [*model.blocks] == [*model.generator.blocks, *model.discriminator.blocks]
    assert not any(name.startswith("blocks") for name in model.state_dict())


@pytest.mark.parametrize(
    ("part", "kind"),
    [("discriminator", transformers.ElectraForPreTraining), ("generator", transformers.ElectraForMaskedLM)],
)
def test_both_open_in_transformers(part: str, kind: Any, tmp_path: pathlib.Path) -> None:
    model, data = made().float().eval(), batch(2)
    network = getattr(model, part)
    (tmp_path / "config.json").write_text(json.dumps(network.config.to_hf()))
    stored = dict(export(part_of(model.state_dict(), part), weight_map(network.config)))
    save_file(stored, tmp_path / "model.safetensors")
    theirs, report = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["missing_keys"]
    hidden = network(data.targets).hidden
    ours = network.replaced(hidden) if part == "discriminator" else network.head.logits(hidden)
    torch.testing.assert_close(ours, theirs.eval()(input_ids=data.targets).logits, rtol=0, atol=1e-6)


def test_goes_on_bit_for_bit() -> None:
    """With dropout and with tokens drawn by chance."""
    learner = learner_of(made())
    for number in range(2):
        learner.step(batch(number))
    (tensors, state), chance = learner.state_dict(), torch.get_rng_state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    other = learner_of(made())
    other.load_state_dict(tensors, json.loads(json.dumps(state)))
    results = []
    for each in (learner, other):
        torch.set_rng_state(chance)
        results.append([each.step(batch(number)) for number in (2, 3)])
    assert results[0] == results[1]
    for (name, ours), theirs in zip(learner.weights().items(), other.weights().values(), strict=True):
        assert torch.equal(ours, theirs), name


def trained(mode: str, here: Place, out: pathlib.Path) -> None:
    """Three steps without dropout, and with a generator that always says the same: chance has no part in it."""
    model = made(dropout=0.0, attention_dropout=0.0)
    with torch.no_grad():
        model.generator.head.output.bias[7] = 50.0
    if mode == "replicated":
        parallel.replicate(model)
    elif mode == "sharded":
        checkpoint_blocks(model)
        parallel.shard(model)
    learner, numbers = learner_of(model), []
    for number in range(3):
        share = batch(number).split(here.world)[here.rank]
        result = learner.step(share)
        numbers += [result[name] for name in ("loss", "tokens", "gradient_norm", "replaced")]
    learner.evaluate(batch(9).split(here.world)[here.rank])
    weights = learner.weights()
    if here.is_first:
        out.mkdir()
        stored = {name: tensor.clone() for name, tensor in weights.items()}
        save_file(stored | {"numbers": torch.tensor(numbers, dtype=torch.float64)}, out / "all")


@pytest.mark.parametrize("mode", ["replicated", "sharded"])
def test_two_processes_are_one(mode: str, tmp_path: pathlib.Path) -> None:
    trained("single", Place(), tmp_path / "one")
    in_processes(2, lambda here: trained(mode, here, tmp_path / "two"), tmp_path)
    one, two = (load_file(tmp_path / name / "all") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=1e-10, atol=1e-10, msg=name)
