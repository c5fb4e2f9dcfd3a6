"""SeqGAN's generator loss: REINFORCE with the reward of each token (Yu et al. 2017, eq. 4 and 7).

The discriminator's loss (eq. 5) is the cross-entropy of ``objectives.classification`` with the labels below.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.objectives.loss import Loss

GENERATED, REAL = 0, 1
"""Classes of the discriminator."""

Baseline = Literal["none", "position"]


def seqgan(model: nn.Module, batch: CausalBatch, rewards: Float[Tensor, "B T"], baseline: Baseline = "none") -> Loss:
    """-sum_t (Q_t - b_t) log G(y_t | y_<t) over the tokens that ``model`` itself sampled.

    ``rewards[b, t]`` is Q of ``batch.targets[b, t]``. With ``baseline`` "none" b is 0, as published: then a reward that
    depends on nothing still moves the generator. "position" subtracts the mean over the rows at each position.
    """
    weights = rewards if baseline == "none" else rewards - position_mean(rewards, batch.mask)
    hidden = model(batch.tokens, lengths=batch.lengths).hidden[batch.mask]
    total = model.head.nll_sum(hidden, batch.targets[batch.mask], weights[batch.mask])
    count = batch.mask.sum().to(total.dtype)
    return Loss(total=total, count=count, metrics={"reward": rewards[batch.mask].sum()})


def position_mean(rewards: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "1 T"]:
    """Mean reward at each position over the rows that reach it."""
    total = torch.where(mask, rewards, 0.0).sum(0, keepdim=True)
    return total / mask.sum(0, keepdim=True).clamp(min=1)
