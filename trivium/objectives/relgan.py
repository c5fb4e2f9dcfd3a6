"""What generator and discriminator of RelGAN play for (Nie, Narodytska and Patel 2019).

The discriminator gives a text one logit for each of its embedded representations, and a loss is their mean. The
relativistic one asks whether a real text looks *more real than a generated one* (Jolicoeur-Martineau 2019, RSGAN): a
generator is then pulled by the real texts too, and by a discriminator that takes both for real.

A loss is given for each text, or each pair of a real and a generated one; logits are large for what looks real.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from trivium.errors import ConfigError

Adversary = Literal["relativistic", "standard", "hinge"]
"""relativistic: -log sigmoid of the difference of the logits (RelGAN's own). standard: cross-entropy, for the generator
the one that does not saturate (Goodfellow et al. 2014, section 3). hinge: Lim and Ye 2017, "Geometric GAN"."""


@dataclass(frozen=True, kw_only=True)
class RelGANConfig:
    """What RelGAN is trained for, and how its samples sharpen; the defaults are for real text."""

    adversary: Adversary = "relativistic"
    """Which of the losses both play for."""
    largest_beta: float = 100.0
    """Inverse temperature that the samples end at; 1 keeps it there. Small is diverse, large is sharp."""
    annealing_steps: int = 5000
    """N, steps until ``largest_beta``. In the authors' code always 5,000, of which 2,000 to 3,000 are made: what is
    called 100 then ends at 6.3."""
    straight_through: bool = False
    """The discriminator reads one-hot tokens, and the gradient is that of the soft ones."""

    def __post_init__(self) -> None:
        if not 1.0 <= self.largest_beta < float("inf"):
            raise ConfigError("largest_beta is an inverse temperature of 1 or more", received=self.largest_beta)
        if self.annealing_steps < 1:
            raise ConfigError("annealing_steps must be at least 1", received=self.annealing_steps)

    def beta(self, step: int) -> float:
        """beta_n = beta_max^(n / N), of a step counted from 0; ``largest_beta`` from step N on."""
        return self.largest_beta ** min(1.0, step / self.annealing_steps)


def discriminator_loss(
    adversary: Adversary, real: Float[Tensor, "B *R"], generated: Float[Tensor, "B *R"]
) -> Float[Tensor, "B"]:
    """What the discriminator minimises: the mean over the representations of each pair."""
    if adversary == "relativistic":
        return _mean(F.softplus(generated - real))
    if adversary == "standard":
        return _mean(F.softplus(-real) + F.softplus(generated))
    return _mean(torch.relu(1 - real) + torch.relu(1 + generated))


def generator_loss(
    adversary: Adversary, real: Float[Tensor, "B *R"], generated: Float[Tensor, "B *R"]
) -> Float[Tensor, "B"]:
    """What the generator minimises: the mean over the representations of each pair.

    ``real`` counts for the relativistic loss alone.
    """
    if adversary == "relativistic":
        return _mean(F.softplus(real - generated))
    if adversary == "standard":
        return _mean(F.softplus(-generated))
    return _mean(-generated)


def _mean(losses: Float[Tensor, "B *R"]) -> Float[Tensor, "B"]:
    return losses.reshape(losses.shape[0], -1).mean(1)
