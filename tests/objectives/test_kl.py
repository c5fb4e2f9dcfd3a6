"""The three estimators on a distribution whose divergence is known, and the controller."""

import pytest
import torch

from trivium.objectives.kl import AdaptiveCoefficient, k1, k2, k3


def test_expectations():
    """k1 and k3 are unbiased for KL(policy || reference); k2 has its gradient."""
    logits = torch.randn(6, dtype=torch.float64, requires_grad=True)
    reference = torch.log_softmax(torch.randn(6, dtype=torch.float64), 0)
    policy = torch.log_softmax(logits, 0)
    exact = (policy.exp() * (policy - reference)).sum()
    weights = policy.exp().detach()
    for estimator in (k1, k3):
        torch.testing.assert_close((weights * estimator(policy, reference)).sum(), exact)
    assert bool((k3(policy, reference) >= 0).all())
    (expected,) = torch.autograd.grad(exact, logits, retain_graph=True)
    (got,) = torch.autograd.grad((weights * k2(policy, reference)).sum(), logits)
    torch.testing.assert_close(got, expected)


def test_sign():
    """A token the policy likes more than the reference does costs."""
    assert k1(torch.tensor(-1.0), torch.tensor(-3.0)) == 2.0


def test_controller_by_hand():
    coefficient = AdaptiveCoefficient(0.1, target=6.0, horizon=640)
    coefficient.update(6.6, texts=64)  # error 0.1
    assert coefficient.value == pytest.approx(0.1 * 1.01)
    coefficient.update(60.0, texts=64)  # error clipped to 0.2
    assert coefficient.value == pytest.approx(0.1 * 1.01 * 1.02)
    coefficient.update(0.0, texts=64)  # clipped to -0.2
    assert coefficient.value == pytest.approx(0.1 * 1.01 * 1.02 * 0.98)
    fixed = AdaptiveCoefficient(0.3)
    fixed.update(60.0, texts=64)
    assert fixed.value == 0.3
