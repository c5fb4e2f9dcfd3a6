"""Which of a model's own parameters are trained: by depth, kind or name; a block more at a time; more slowly below."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.contracts.tracers import PREDICTING, TRACERS, Tracer
from tests.training.toys import batch, tiny_gpt2
from trivium.adapters.selective import (
    GradualUnfreezing,
    Part,
    SelectiveConfig,
    chosen_names,
    depth_groups,
    rate_factors,
    select,
)
from trivium.errors import ConfigError
from trivium.objectives.causal import causal
from trivium.training.optimisers import OptimiserConfig, build_optimisers


def training(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("tracer", TRACERS, ids=lambda tracer: tracer.label)
def test_depth_groups_hold_every_parameter_once_and_the_head_is_highest(tracer: Tracer):
    model = tracer.build()
    groups = depth_groups(model)
    names = [name for name, _ in model.named_parameters()]
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert len(groups) == 1 + len(list(model.blocks.children()))
    if tracer in PREDICTING:
        own = [name for name in names if name.startswith("head.")]
        assert set(own) <= set(groups[-1])


@pytest.mark.parametrize(
    ("part", "config", "expected"),
    [
        ("last_blocks", SelectiveConfig(blocks=1), lambda name: name.startswith(("blocks.1.", "norm.", "head."))),
        ("biases", SelectiveConfig(), lambda name: name.endswith(".bias")),
        ("norms", SelectiveConfig(), lambda name: "norm" in name),
        ("embeddings", SelectiveConfig(), lambda name: "embedding" in name),
        (
            "layers",
            SelectiveConfig(patterns=(r"blocks\.0\.attention", "head")),
            lambda name: "0.attention." in name or "head" in name,
        ),
        ("all", SelectiveConfig(), lambda name: True),
    ],
)
def test_parts_are_chosen(part: Part, config: SelectiveConfig, expected):
    model = tiny_gpt2(tied=False)
    select(model, part, config)
    names = {name for name, _ in model.named_parameters()}
    assert training(model) == {name for name in names if expected(name)} != set()


def test_embeddings_train_a_tied_head_with_them():
    assert chosen_names(tiny_gpt2(tied=True), "embeddings", SelectiveConfig()) >= {"embedding.weight"}


def test_a_pattern_stands_for_whole_words():
    model = tiny_gpt2()
    assert chosen_names(model, "layers", SelectiveConfig(patterns=("blocks.1",))) == set(depth_groups(model)[2]) - {
        name for name in depth_groups(model)[2] if not name.startswith("blocks.1.")
    }
    with pytest.raises(ConfigError, match=r"'attent' matches no parameter[\s\S]*blocks.N.attention.qkv.weight"):
        chosen_names(model, "layers", SelectiveConfig(patterns=("attent",)))
    with pytest.raises(ConfigError, match="no regular expression"):
        chosen_names(model, "layers", SelectiveConfig(patterns=("(",)))
    with pytest.raises(ConfigError, match="fewer blocks"):
        chosen_names(model, "last_blocks", SelectiveConfig(blocks=3))


def test_what_the_model_has_not_is_refused_and_leaves_it_as_it_was():
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Linear(2, 2, bias=False)])
    with pytest.raises(ConfigError, match="no biases to train"):
        select(model, "biases", SelectiveConfig())
    assert training(model) == {"blocks.0.weight"}


@pytest.mark.parametrize(
    "wrong", [{"blocks": 0}, {"rate_factor": 0.0}, {"rate_factor": float("nan")}, {"unfreeze_every_steps": 0}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigError):
        SelectiveConfig(**wrong)


def test_lower_blocks_learn_more_slowly():
    model = tiny_gpt2()
    factors = rate_factors(model, 0.5)
    assert factors["norm.weight"] == factors["blocks.1.attention.qkv.weight"] == 1
    assert factors["blocks.0.attention.qkv.weight"] == 0.5 and factors["embedding.weight"] == 0.25
    optimisers = build_optimisers(model, OptimiserConfig(learning_rate=0.4), factors)
    optimisers.set_rate(0.5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {
        names[id(p)]: group["lr"] for o in optimisers._optimisers for group in o.param_groups for p in group["params"]
    }
    assert rates == {name: pytest.approx(0.2 * factor) for name, factor in factors.items()}
    assert optimisers.learning_rate == pytest.approx(0.2)


def test_a_factor_multiplies_the_update():
    """Of plain gradient descent, to the last bit: half the rate is half the step."""
    moved = []
    for factor in (1.0, 0.5):
        torch.manual_seed(0)
        model = tiny_gpt2().eval()
        before = model.embedding.weight.detach().clone()
        optimisers = build_optimisers(
            model, OptimiserConfig(kind="sgd", learning_rate=0.5, weight_decay=0.0), {"embedding.weight": factor}
        )
        causal(model, batch(0)).total.backward()
        optimisers.step()
        moved.append(model.embedding.weight.detach() - before)
    torch.testing.assert_close(moved[1], moved[0] / 2)


def test_blocks_are_unfrozen_one_by_one_from_the_top():
    model = tiny_gpt2()
    unfreeze = GradualUnfreezing(model, every_steps=3)
    below, first, second = map(set, depth_groups(model))
    for step, expected in (
        (0, second),
        (2, second),
        (3, second | first),
        (6, second | first | below),
        (99, second | first | below),
    ):
        unfreeze(step)
        assert training(model) == expected
    unfreeze(1)  # what trains depends on the step alone: so a resumed run goes on as it would have
    assert training(model) == second


def test_what_is_frozen_for_good_stays_so():
    model = tiny_gpt2()
    select(model, "biases", SelectiveConfig())
    unfreeze = GradualUnfreezing(model, every_steps=1)
    unfreeze(100)
    assert all(name.endswith(".bias") for name in training(model))
    unfreeze(0)
    assert training(model) and all(name.startswith(("blocks.1.", "norm.")) for name in training(model))
