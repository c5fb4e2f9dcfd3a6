"""RelGAN's losses by hand, their signs, and how beta grows."""

import math

import pytest
import torch

from trivium.errors import ConfigError
from trivium.objectives.relgan import RelGANConfig, discriminator_loss, generator_loss

ADVERSARIES = ["relativistic", "standard", "hinge"]
REAL = torch.tensor([[0.5, -2.0], [3.0, 1.0]], dtype=torch.float64)
FAKE = torch.tensor([[1.5, 0.0], [-1.0, 0.25]], dtype=torch.float64)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def by_hand(adversary: str, r: float, f: float) -> tuple[float, float]:
    """What discriminator and generator lose for one pair of logits."""
    if adversary == "relativistic":
        return softplus(-(r - f)), softplus(-(f - r))
    if adversary == "standard":
        told = -math.log(1 / (1 + math.exp(-r))) - math.log(1 - 1 / (1 + math.exp(-f)))
        return told, -math.log(1 / (1 + math.exp(-f)))
    return max(0.0, 1 - r) + max(0.0, 1 + f), -f


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_by_hand(adversary: str):
    for side, loss in enumerate((discriminator_loss, generator_loss)):
        pairs = [[by_hand(adversary, float(REAL[b, k]), float(FAKE[b, k]))[side] for k in range(2)] for b in range(2)]
        expected = torch.tensor(pairs, dtype=torch.float64).mean(1)
        torch.testing.assert_close(loss(adversary, REAL, FAKE), expected)
        # One logit a text: no representations to take a mean over.
        torch.testing.assert_close(
            loss(adversary, REAL[:, 0], FAKE[:, 0]), torch.tensor([row[0] for row in pairs]).double()
        )


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_both_pull_where_they_should(adversary: str):
    """The discriminator raises real logits and lowers generated ones; the generator raises its own."""
    real, fake = (torch.randn(4, 3, dtype=torch.float64).clamp(-0.9, 0.9).requires_grad_() for _ in range(2))
    down = torch.autograd.grad(discriminator_loss(adversary, real, fake).sum(), [real, fake])
    assert (down[0] < 0).all() and (down[1] > 0).all()
    (up,) = torch.autograd.grad(generator_loss(adversary, real.detach(), fake).sum(), [fake])
    assert (up < 0).all()


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_gradients(adversary: str):
    real, fake = (torch.randn(3, 2, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(lambda r, f: discriminator_loss(adversary, r, f), [real, fake])
    assert torch.autograd.gradcheck(lambda r, f: generator_loss(adversary, r, f), [real, fake])


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_logits_of_any_size_stay_finite(adversary: str):
    huge = torch.tensor([1e4, -1e4])
    assert discriminator_loss(adversary, huge, -huge).isfinite().all()
    assert generator_loss(adversary, huge, -huge).isfinite().all()


def test_relativistic_losses_are_of_the_difference_alone():
    moved = discriminator_loss("relativistic", REAL + 5.0, FAKE + 5.0)
    torch.testing.assert_close(moved, discriminator_loss("relativistic", REAL, FAKE))


def test_beta_grows_by_the_same_factor_a_step():
    config = RelGANConfig(largest_beta=100.0, annealing_steps=5000)
    assert config.beta(0) == 1.0
    assert config.beta(2500) == pytest.approx(10.0)
    assert config.beta(2000) == pytest.approx(6.30957, abs=1e-5)  # where the authors' 2,000 steps end
    assert config.beta(5000) == config.beta(9000) == pytest.approx(100.0)
    assert RelGANConfig(largest_beta=1.0).beta(1234) == 1.0


@pytest.mark.parametrize("wrong", [{"largest_beta": 0.5}, {"largest_beta": math.inf}, {"annealing_steps": 0}])
def test_impossible_configurations_are_refused(wrong: dict):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RelGANConfig(**wrong)
