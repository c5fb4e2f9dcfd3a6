"""How far a policy has gone from a reference, from samples: three estimators, and a controller of the penalty.

All are of KL(policy || reference) for tokens that the *policy* sampled, in nats, with
``log r = log reference - log policy`` (Schulman 2020, "Approximating KL Divergence").
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


def k1(log_probs: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """-log r: unbiased, but negative for about half of the samples."""
    return log_probs - reference


def k2(log_probs: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(log r)^2 / 2: biased, small variance; its gradient is that of the true divergence."""
    return (reference - log_probs).square() / 2


def k3(log_probs: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(r - 1) - log r: unbiased and never negative."""
    log_ratio = reference - log_probs
    return log_ratio.expm1() - log_ratio


@dataclass
class AdaptiveCoefficient:
    """The weight of the KL penalty, moved until the divergence is ``target`` (Ziegler et al. 2019, section 2.2).

    e = clip((KL - target) / target, -0.2, 0.2); value <- value * (1 + gain * e). Without a target it stays as it is.
    """

    value: float
    """Penalty per nat."""
    target: float | None = None
    """Divergence to hold, in nats (the paper's is summed over a text)."""
    gain: float = 0.1
    """K in the paper."""

    def update(self, divergence: float) -> None:
        """One move after a measured ``divergence``."""
        if self.target is not None:
            error = (divergence - self.target) / self.target
            self.value *= 1 + self.gain * min(max(error, -0.2), 0.2)
