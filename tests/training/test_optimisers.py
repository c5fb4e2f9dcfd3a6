"""Which parameter goes where, and that states come back exactly."""

import pytest
import torch
from torch import nn

from tests.training.toys import batch, tiny_gpt2
from trivium.errors import CheckpointError, ConfigError
from trivium.objectives.causal import causal
from trivium.training.optimisers import OptimiserConfig, build_optimisers


def groups(kind: str, *, tied: bool = True) -> dict[str, tuple[str, float]]:
    """Parameter name -> (optimiser, weight decay)."""
    model = tiny_gpt2(tied=tied)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (type(optimiser).__name__, group["weight_decay"])
        for optimiser in build_optimisers(model, OptimiserConfig(kind=kind))._optimisers
        for group in optimiser.param_groups
        for parameter in group["params"]
    }


def test_muon_takes_the_matrices_of_the_blocks_only() -> None:
    found = groups("muon", tied=False)
    assert found.keys() == {name for name, _ in tiny_gpt2(tied=False).named_parameters()}
    muon = {name for name, (optimiser, _) in found.items() if optimiser == "Muon"}
    kinds = ("attention.qkv", "attention.output", "feedforward.up", "feedforward.down")
    assert muon == {f"blocks.{layer}.{kind}.weight" for layer in range(2) for kind in kinds}


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_only_matrices_decay(kind: str) -> None:
    shapes = {name: parameter.ndim for name, parameter in tiny_gpt2().named_parameters()}
    assert all(decay == (0.1 if shapes[name] >= 2 else 0.0) for name, (_, decay) in groups(kind).items())


def test_kernels_of_convolutions_are_not_matrices() -> None:
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Conv1d(4, 4, 3), nn.Linear(4, 4)])
    optimisers = build_optimisers(model, OptimiserConfig(kind="muon"))._optimisers
    muon = [p for o in optimisers if type(o).__name__ == "Muon" for group in o.param_groups for p in group["params"]]
    assert [parameter.ndim for parameter in muon] == [2]


def test_frozen_parameters_are_left_out() -> None:
    model = tiny_gpt2()
    model.blocks.requires_grad_(False)
    optimisers = build_optimisers(model, OptimiserConfig(kind="muon"))
    assert len(optimisers.parameters) == sum(p.requires_grad for p in model.parameters())
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="no parameter of the model is trained"):
        build_optimisers(model, OptimiserConfig())


def test_states_come_back_exactly() -> None:
    models = [tiny_gpt2(), tiny_gpt2()]
    both = [build_optimisers(model, OptimiserConfig(kind="muon")) for model in models]

    def update(which: int, number: int) -> None:
        both[which].zero_gradients()
        causal(models[which], batch(number)).total.backward()
        both[which].set_rate(1 / (number + 1))
        both[which].step()

    for number in range(3):
        update(0, number)
    models[1].load_state_dict(models[0].state_dict())
    both[1].load_state_tensors({name: tensor.clone() for name, tensor in both[0].state_tensors().items()})
    for which in (0, 1):
        update(which, 3)
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))
    with pytest.raises(CheckpointError, match="another model"):
        both[0].load_state_tensors({"nowhere/step": torch.zeros(())})


def test_rates_follow_the_factor() -> None:
    optimisers = build_optimisers(tiny_gpt2(), OptimiserConfig(kind="muon", learning_rate=0.4, muon_learning_rate=0.8))
    optimisers.set_rate(0.5)
    optimisers.set_rate(0.25)
    assert optimisers.learning_rate == 0.1
    assert [group["lr"] for o in optimisers._optimisers for group in o.param_groups] == [0.1, 0.1, 0.2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0},
        {"beta2": 1.0},
        {"weight_decay": -0.1},
        {"muon_learning_rate": float("nan")},
        {"weight_decay": float("nan")},
        {"learning_rate": float("inf")},
    ],
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        OptimiserConfig(**wrong)
