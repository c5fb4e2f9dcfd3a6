"""Muon against torch's, and its orthogonalisation against the singular value decomposition."""

import pytest
import torch
from torch import nn

from trivium.training.muon import Muon, orthogonalise, update_scale


@pytest.mark.parametrize("shape", [(8, 8), (16, 6), (6, 16), (3, 10, 4), (2, 3, 4, 9)])
def test_orthogonalise_keeps_directions_and_levels_singular_values(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, dtype=torch.float64)
    found = orthogonalise(matrices)
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    turned = u.mT @ found @ vh.mT  # diagonal if the singular vectors are kept
    values = torch.diagonal(turned, dim1=-2, dim2=-1)
    assert (turned - torch.diag_embed(values)).abs().max() < 1e-10
    sizeable = s / s.norm(dim=-1, keepdim=True) > 0.02  # five rounds lift no smaller ones to the top
    assert values[sizeable].min() > 0.65
    assert values.max() < 1.25


@pytest.mark.parametrize("scale", ["original", "match_rms_adamw"])
def test_agrees_with_torch(scale: str) -> None:
    """torch runs the iteration in bfloat16: the paths are close, not equal."""
    shapes = [(12, 8), (8, 12), (12, 8)]
    ours = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    before = [parameter.detach().clone() for parameter in ours]
    settings = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.1}
    optimisers = Muon(ours, **settings, scale=scale), torch.optim.Muon(theirs, **settings, adjust_lr_fn=scale)
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    for mine, other, start in zip(ours, theirs, before, strict=True):
        assert (mine - other).norm() < 0.03 * (mine - start).norm()


def test_a_stack_is_updated_matrix_by_matrix() -> None:
    stack = nn.Parameter(torch.randn(3, 6, 4))
    single = [nn.Parameter(matrix.clone()) for matrix in stack.detach()]
    stack.grad = torch.randn_like(stack)
    for parameter, gradient in zip(single, stack.grad, strict=True):
        parameter.grad = gradient.clone()
    Muon([stack], 0.1).step()
    Muon(single, 0.1).step()
    torch.testing.assert_close(stack.detach(), torch.stack([p.detach() for p in single]), rtol=0, atol=1e-6)


def test_parameters_without_gradient_are_left_alone() -> None:
    still = nn.Parameter(torch.ones(3, 3))
    Muon([still], 0.1, weight_decay=0.5).step()
    assert torch.equal(still, torch.ones(3, 3))


def test_update_scale() -> None:
    assert update_scale("original", 16, 4) == 2.0
    assert update_scale("original", 4, 16) == 1.0
    assert update_scale("match_rms_adamw", 4, 16) == pytest.approx(0.8)
