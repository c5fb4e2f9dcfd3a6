"""How far a policy has gone from a reference, from samples: three estimators, and a controller of the penalty.

All are of KL(policy || reference) for tokens that the *policy* sampled, in nats, with
``log r = log reference - log policy`` (Schulman 2020, "Approximating KL Divergence").
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

_MOST = 20.0
"""Nats by which two log-probabilities may differ before the difference is cut: exp(20) is a ratio of 5e8."""


def bounded(log_ratio: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """A log-ratio whose exponential is finite; beyond the bound there is no gradient."""
    return log_ratio.clamp(-_MOST, _MOST)


def k1(log_probs: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """-log r: unbiased, but negative for about half of the samples. As a loss its expected gradient is zero: it belongs
    into the reward."""
    return log_probs - reference


def k2(log_probs: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(log r)^2 / 2: biased, small variance; as a loss its gradient is that of the true divergence."""
    return (reference - log_probs).square() / 2


def k3(log_probs: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(r - 1) - log r: unbiased and never negative. Its *gradient* is biased: as a loss it follows the forward
    divergence (Tang and Munos 2025, "On a few pitfalls in KL divergence gradient estimation for RL")."""
    log_ratio = bounded(reference - log_probs)
    return log_ratio.expm1() - log_ratio


@dataclass
class AdaptiveCoefficient:
    """The weight of the KL penalty, moved until the divergence is ``target`` (Ziegler et al. 2019, section 2.2).

    e = clip((KL - target) / target, -0.2, 0.2); value <- value * (1 + e * texts / horizon), as in the authors' code,
    where a batch of ``texts`` counts for so much of the horizon (in the paper the product is K = 0.1). Without a target
    it stays as it is.
    """

    value: float
    """Penalty per nat."""
    target: float | None = None
    """Divergence to hold, in nats, summed over a text."""
    horizon: float = 10_000
    """Texts after which an error of 1 would have doubled the weight."""

    def update(self, divergence: float, texts: float) -> None:
        """One move after the mean ``divergence`` of so many texts."""
        if self.target is not None:
            error = (divergence - self.target) / self.target
            self.value *= 1 + min(max(error, -0.2), 0.2) * texts / self.horizon
