"""MMD against a loop over all pairs, its gradient, and what it says of equal and of different distributions."""

import itertools
import math

import pytest
import torch

from trivium.objectives.mmd import squared_mmd


def kernel(x: torch.Tensor, y: torch.Tensor, bandwidths: tuple[float, ...]) -> float:
    square = sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return sum(math.exp(-square / (2 * s**2)) for s in bandwidths)


def by_loop(xs: torch.Tensor, ys: torch.Tensor, bandwidths: tuple[float, ...], *, unbiased: bool) -> float:
    def mean(first: torch.Tensor, second: torch.Tensor, *, within: bool) -> float:
        pairs = itertools.product(range(len(first)), range(len(second)))
        values = [kernel(first[i], second[j], bandwidths) for i, j in pairs if not (within and unbiased and i == j)]
        return sum(values) / len(values)

    return mean(xs, xs, within=True) + mean(ys, ys, within=True) - 2 * mean(xs, ys, within=False)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("bandwidths", [(1.0,), (0.5, 2.0, 10.0)])
def test_equals_the_double_loop(bandwidths: tuple[float, ...], unbiased: bool):
    xs, ys = torch.randn(6, 3, dtype=torch.float64), 1.0 + 2 * torch.randn(4, 3, dtype=torch.float64)
    expected = by_loop(xs, ys, bandwidths, unbiased=unbiased)
    assert float(squared_mmd(xs, ys, bandwidths, unbiased=unbiased)) == pytest.approx(expected, abs=1e-13)


def test_by_hand():
    """One point each, at a distance of 2: 1 + 1 - 2 exp(-4 / 8) with a bandwidth of 2."""
    got = squared_mmd(torch.tensor([[0.0, 3.0]]), torch.tensor([[2.0, 3.0]]), [2.0])
    assert float(got) == pytest.approx(2 - 2 * math.exp(-0.5), abs=1e-6)


@pytest.mark.parametrize("unbiased", [False, True])
def test_gradient_by_finite_differences(unbiased: bool):
    xs, ys = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 5))
    assert torch.autograd.gradcheck(lambda x, y: squared_mmd(x, y, (0.7, 3.0), unbiased=unbiased), [xs, ys])


def test_the_same_sample_is_at_no_distance_from_itself():
    xs = torch.randn(20, 8)
    assert abs(float(squared_mmd(xs, xs.flip(0), (1.0, 4.0)))) < 1e-6


def test_the_unbiased_estimate_is_zero_on_average_and_the_other_is_not():
    estimates = {unbiased: [] for unbiased in (False, True)}
    for _ in range(400):
        xs, ys = torch.randn(2, 8, 2, dtype=torch.float64)
        for unbiased, values in estimates.items():
            values.append(float(squared_mmd(xs, ys, (1.0,), unbiased=unbiased)))
    assert abs(sum(estimates[True]) / 400) < 0.012  # four standard errors
    assert min(estimates[True]) < 0
    assert min(estimates[False]) > 0 and sum(estimates[False]) / 400 > 0.08


def test_far_from_the_origin_little_is_lost_to_rounding():
    xs, ys = torch.randn(16, 4), torch.randn(16, 4) + 0.5
    near, far = squared_mmd(xs, ys, (1.0,)), squared_mmd(xs + 1000.0, ys + 1000.0, (1.0,))
    torch.testing.assert_close(near, far, atol=1e-3, rtol=0)
