"""GaLore against its algorithm by hand, and against AdamW where the subspace is all there is."""

import itertools

import pytest
import torch
from torch import nn

from trivium.errors import ConfigError
from trivium.training.low_rank_gradients import GaLoreAdamW, into, out_of, subspace


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4)])
def test_subspace_is_that_of_the_shorter_side(shape: tuple[int, int]) -> None:
    gradient = torch.randn(shape, dtype=torch.float64)
    vectors = subspace(gradient, 2)
    assert vectors.shape == (min(shape), 2)
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(2).double())
    small = into(gradient, vectors)
    assert small.shape == ((2, shape[1]) if shape[0] <= shape[1] else (shape[0], 2))
    left, values, right = torch.linalg.svd(gradient, full_matrices=False)
    best = left[:, :2] * values[:2] @ right[:2]
    torch.testing.assert_close(out_of(small, vectors, gradient.shape), best)


def test_one_update_by_hand() -> None:
    """G = diag(2, 1), r = 1: P = e1, R = (2, 0); AdamW's first quotient of it is (1, 0), and W moves by lr * scale."""
    weight = nn.Parameter(torch.zeros(2, 2))
    optimiser = GaLoreAdamW([weight], lr=0.1, rank=1, scale=0.25, eps=0.0 + 1e-12)
    weight.grad = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    optimiser.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([[-0.025, 0.0], [0.0, 0.0]]), rtol=1e-5, atol=1e-8)


def test_the_subspace_is_kept_for_so_many_updates() -> None:
    weight = nn.Parameter(torch.zeros(4, 6))
    optimiser = GaLoreAdamW([weight], lr=0.1, rank=2, every_steps=3)
    seen = []
    for _ in range(7):
        weight.grad = torch.randn(4, 6)
        optimiser.step()
        seen.append(optimiser.state[weight]["subspace"].clone())
    same = [torch.equal(a, b) for a, b in itertools.pairwise(seen)]
    assert same == [True, True, False, True, True, False]


@pytest.mark.parametrize("shape", [(6,), (3, 5), (2, 4, 4)])
def test_what_has_no_smaller_subspace_is_adamw(shape: tuple[int, ...]) -> None:
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    options = {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.1}
    optimisers = GaLoreAdamW([ours], rank=3, **options), torch.optim.AdamW([theirs], **options)
    for _ in range(4):
        gradient = torch.randn(shape)
        for parameter, optimiser in zip((ours, theirs), optimisers, strict=True):
            parameter.grad = gradient.clone()
            optimiser.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_moments_are_small_and_state_goes_on_exactly() -> None:
    one = nn.Parameter(torch.randn(40, 60))
    optimiser = GaLoreAdamW([one], lr=0.01, rank=4, every_steps=2)
    one.grad = torch.randn(40, 60)
    optimiser.step()
    state = optimiser.state[one]
    assert sum(tensor.numel() for tensor in state.values()) == 1 + 4 * (40 + 2 * 60)
    other = nn.Parameter(one.detach().clone())
    again = GaLoreAdamW([other], lr=0.01, rank=4, every_steps=2)
    again.state[other] = {name: tensor.clone() for name, tensor in state.items()}
    for _ in range(3):
        gradient = torch.randn(40, 60)
        for parameter, o in ((one, optimiser), (other, again)):
            parameter.grad = gradient.clone()
            o.step()
    assert torch.equal(one, other)


def test_it_learns_what_needs_a_full_rank() -> None:
    """A target of full rank, with one direction at a time: the subspace follows the gradient."""
    torch.manual_seed(0)
    target, weight = torch.randn(8, 8), nn.Parameter(torch.zeros(8, 8))
    optimiser = GaLoreAdamW([weight], lr=0.2, rank=2, every_steps=10, scale=0.25)
    for step in range(400):
        optimiser.param_groups[0]["lr"] = 0.4 * (1 - step / 400)
        optimiser.zero_grad()
        (weight - target).square().sum().backward()
        optimiser.step()
    assert float((weight.detach() - target).norm()) < 0.1 * float(target.norm())


def test_refused() -> None:
    for settings in ({"rank": 0}, {"rank": 1, "every_steps": 0}, {"rank": 1, "scale": 0.0}):
        with pytest.raises(ConfigError, match="above 0"):
            GaLoreAdamW([nn.Parameter(torch.zeros(2, 2))], 0.1, **settings)
