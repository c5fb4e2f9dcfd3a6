"""Gumbel noise, its softmax and the straight-through token: the distribution, the values and the gradients."""

import math

import pytest
import torch

from trivium.nn.gumbel import gumbel_noise, relaxed, straight_through


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_has_the_moments_and_the_distribution_of_gumbel(dtype: torch.dtype):
    noise = gumbel_noise(torch.zeros(400_000, 1, dtype=dtype)).flatten()
    assert noise.dtype == dtype
    assert abs(float(noise.mean()) - 0.5772156649) < 0.01  # Euler's constant; the standard error is 0.002
    assert abs(float(noise.var()) - math.pi**2 / 6) < 0.02
    for x in (-1.0, 0.0, 1.5, 4.0):
        below = math.exp(-math.exp(-x))
        assert abs(float((noise <= x).double().mean()) - below) < 0.004


def test_noise_is_finite_where_the_uniform_number_is_zero(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **kind: torch.zeros(*shape, **kind))
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert gumbel_noise(torch.zeros(2, 3, dtype=dtype)).isfinite().all()


def test_noise_of_narrow_logits_is_wide_and_carries_no_gradient():
    noise = gumbel_noise(torch.zeros(2, 3, dtype=torch.bfloat16, requires_grad=True))
    assert noise.dtype == torch.float32 and not noise.requires_grad


def test_the_largest_perturbed_logit_is_a_draw_from_the_softmax():
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    perturbed = logits + gumbel_noise(torch.zeros(200_000, 4))
    shares = torch.bincount(perturbed.argmax(-1), minlength=4) / 200_000
    torch.testing.assert_close(shares, torch.softmax(logits, -1), atol=0.005, rtol=0)


def test_beta_multiplies():
    perturbed = torch.tensor([[0.0, math.log(2.0), math.log(3.0)]], dtype=torch.float64)
    expected = torch.tensor([[1.0, 4.0, 9.0]], dtype=torch.float64) / 14
    torch.testing.assert_close(relaxed(perturbed, 2.0), expected)
    assert float(relaxed(perturbed, 100.0)[0, 2]) > 1 - 1e-12


def test_the_gradient_of_the_relaxation_is_right():
    perturbed = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: relaxed(x, 1.7), [perturbed])


def test_straight_through_is_exactly_one_hot_and_has_the_soft_gradient():
    logits = torch.randn(50, 7, requires_grad=True)
    soft = relaxed(logits, 3.0)
    chosen = torch.randint(0, 7, (50,))  # whatever was chosen, not only the largest
    hard = straight_through(soft, chosen)
    assert torch.equal(hard, torch.nn.functional.one_hot(chosen, 7).float())
    upstream = torch.randn(50, 7)
    (through,) = torch.autograd.grad(hard, logits, upstream, retain_graph=True)
    (plain,) = torch.autograd.grad(soft, logits, upstream)
    assert torch.equal(through, plain) and float(plain.abs().max()) > 0
