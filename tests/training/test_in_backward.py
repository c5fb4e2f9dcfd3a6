"""Updates within the backward pass equal those after it, and never more than one gradient is there."""

import pytest
import torch

from tests.training.toys import batch, tiny_gpt2
from trivium.errors import Unsupported
from trivium.objectives.causal import causal
from trivium.objectives.loss import Loss
from trivium.training import gradients
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.in_backward import backward_with_updates, require_possible
from trivium.training.optimisers import OptimiserConfig, build_optimisers


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_equals_updates_after_the_backward_pass(kind: str, checkpointed: bool) -> None:
    """Also where embedding and head are one weight, which has its gradient from two places."""
    torch.manual_seed(0)
    models = [tiny_gpt2(tied=True).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    if checkpointed:
        checkpoint_blocks(models[1])
    usual, early = (build_optimisers(model, OptimiserConfig(kind=kind, learning_rate=0.01)) for model in models)
    for number in range(3):
        told = gradients.backward([causal(models[0], batch(number))], usual.parameters, None)
        usual.step()
        usual.zero_gradients()
        found = backward_with_updates([causal(models[1], batch(number))], early.parameters, early.step)
        assert (found.loss, found.count, found.finite) == (pytest.approx(told.loss), told.count, True)
        assert found.norm == pytest.approx(told.norm, rel=1e-10)
        assert all(parameter.grad is None for parameter in early.parameters)
        for one, other in zip(usual.parameters, early.parameters, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_there_is_one_gradient_at_a_time() -> None:
    model = tiny_gpt2()
    parameters = list(model.parameters())
    seen = []
    count = lambda: seen.append(sum(p.grad is not None for p in parameters))  # noqa: E731
    backward_with_updates([causal(model, batch(0))], parameters, count)
    assert seen == [1] * len(parameters)


def test_frozen_parameters_are_left_alone_and_hooks_go() -> None:
    model = tiny_gpt2()
    model.blocks[0].requires_grad_(False)
    calls = []
    backward_with_updates([causal(model, batch(0))], list(model.parameters()), lambda: calls.append(1))
    assert len(calls) == sum(p.requires_grad for p in model.parameters())
    causal(model, batch(0)).total.backward()
    assert len(calls) == sum(p.requires_grad for p in model.parameters())


def test_auxiliary_losses_count_and_are_told() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    loss = Loss(
        total=(weight * torch.tensor([2.0, 0.0])).sum(),
        count=torch.tensor(2.0),
        auxiliary={"more": weight[1] * 6.0},
        metrics={"told": torch.tensor(5.0)},
    )
    found = []
    result = backward_with_updates([loss], [weight], lambda: found.append(weight.grad.clone()))
    assert found[0].tolist() == [1.0, 3.0]
    assert result.loss == 1.0 and result.norm == pytest.approx(10**0.5)
    assert result.metrics == {"auxiliary/more": 6.0, "told": 2.5}


def test_what_is_not_finite_changes_nothing() -> None:
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimiser = torch.optim.SGD(weights, lr=1.0)
    bad = Loss(total=weights[0].sum() * float("nan"), count=torch.tensor(1.0))
    assert not backward_with_updates([bad], weights, optimiser.step).finite
    # A finite loss, and one gradient that is not: the square root's at 0.
    partly = (weights[0].sum() - 2).abs().sqrt() + weights[1].sum()
    assert not backward_with_updates([Loss(total=partly, count=torch.tensor(1.0))], weights, optimiser.step).finite
    assert weights[0].tolist() == [1.0, 1.0] and weights[1].tolist() == [0.0, 0.0]


def test_what_it_excludes_is_refused() -> None:
    require_possible(micro_batches=1, clip_norm=None)
    with pytest.raises(Unsupported, match=r"clip_norm 1 .*, micro_batches 4"):
        require_possible(micro_batches=4, clip_norm=1.0)
