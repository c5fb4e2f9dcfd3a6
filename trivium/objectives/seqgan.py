"""SeqGAN's generator loss: REINFORCE with the reward of each token (Yu et al. 2017, eq. 4 and 7).

The discriminator's loss (eq. 5) is the cross-entropy of ``objectives.classification`` with the labels below.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.objectives.loss import Loss
from trivium.objectives.weighted_likelihood import reward_metrics, weighted_nll

GENERATED, REAL = 0, 1
"""Classes of the discriminator."""

Baseline = Literal["none", "position"]
Reward = Literal["discriminator", "constant", "random"]


@dataclass(frozen=True, kw_only=True)
class SeqGANConfig:
    """What the generator is rewarded for, and how it is found out; the defaults are the authors'."""

    rollouts: int = 16
    """Endings sampled for each beginning of a text (N in the paper)."""
    rollout_lag: float = 0.8
    """After each step: rollout policy <- lag * rollout policy + (1 - lag) * generator."""
    baseline: Baseline = "none"
    """What is subtracted from the rewards: nothing, or the mean over the texts at each position."""
    reward: Reward = "discriminator"
    """constant and random are controls: what a generator gains by them is not the discriminator's doing."""

    def __post_init__(self) -> None:
        if self.rollouts < 1:
            raise ConfigError("rollouts must be at least 1", received=self.rollouts)
        if not 0 <= self.rollout_lag < 1:
            raise ConfigError("rollout_lag must be at least 0 and below 1", received=self.rollout_lag)


def seqgan(
    model: nn.Module,
    batch: CausalBatch,
    rewards: Float[Tensor, "B T"],
    baseline: Float[Tensor, "1 T"] | None = None,
) -> Loss:
    """-sum_t (Q_t - b_t) log G(y_t | y_<t) over the tokens that ``model`` itself sampled.

    ``rewards[b, t]`` is Q of ``batch.targets[b, t]``. Without a ``baseline`` b is 0, as published: then a reward that
    depends on nothing still moves the generator. A baseline, such as `position_mean`, is to be worked out over all the
    texts of an update, also where this is given a part of them.
    """
    total = weighted_nll(model, batch, rewards if baseline is None else rewards - baseline)
    return Loss(total=total, count=batch.mask.sum().to(total.dtype), metrics=reward_metrics(rewards[batch.mask]))


def position_mean(rewards: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "1 T"]:
    """Mean reward at each position over the rows that reach it."""
    total = torch.where(mask, rewards, 0.0).sum(0, keepdim=True)
    return total / mask.sum(0, keepdim=True).clamp(min=1)
