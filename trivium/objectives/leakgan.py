"""LeakGAN's generator losses: a Manager led by where its goals took the text, a Worker by the goals (Guo et al. 2018).

Features f_t and goals g_t are of the first t tokens of a text, t = 0, ..., n; c is the horizon ("Training of G"):

    Manager    -sum_t Q_t cos(f_{t+c} - f_t, g_t)              Q the value of the text that the goal led to, s_{t+c};
                                                               f_n and s_n where that is beyond the end
    Worker     -sum_t r_t log p(y_t | s_{t-1}),                r_t = mean_{i = 1..c} cos(f_t - f_{t-i}, g_{t-i})

f is a constant to both, and the goals are one to the Worker, so that the sum of the two losses gives each part its own
gradient and the two may share one backward pass. Each step of each text has a reward of its own, and a step at which
fewer than c goals were set is judged by those there are. The authors' program has one cosine for a whole batch, so that
no step is worth more than another: in effect a constant reward, which is offered too.

The authors' texts are filled up to one length. Where a text ends when it ends, goals whose c steps reach beyond it must
not be left out of the Manager's loss: then none has ever led to an end, to end is what earns the Worker least, and it
learns not to (docs/log.md). Here such a goal leads to the end. Their program takes every c-th goal, summed with those
before it, where this takes every one.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.models.leakgan import LeakGAN
from trivium.objectives.loss import Loss

WorkerReward = Literal["intrinsic", "constant"]
SHARPNESS = 16.0
"""delta of the authors' program; the paper has 12."""


@dataclass(frozen=True, kw_only=True)
class LeakGANTraining:
    """What the two parts are rewarded for, and what stands between; the defaults are the authors'."""

    rollouts: int = 4
    """Endings sampled for each beginning of a text."""
    rescale: bool = True
    """Values are replaced by what their ranks get (`rescaled`)."""
    sharpness: float = SHARPNESS
    """delta of the ranks."""
    likelihood_every: int = 15
    """Of so many updates one is by likelihood on real text ("interleaved training"); 0 for none."""
    worker_reward: WorkerReward = "intrinsic"
    """Of each step of each text, as in the paper; or constant, as in effect in the authors' program."""

    def __post_init__(self) -> None:
        if self.rollouts < 1 or self.likelihood_every < 0 or self.sharpness <= 0:
            raise ConfigError(
                "rollouts are at least 1, likelihood_every at least 0 and sharpness above 0",
                received=f"{self.rollouts}, {self.likelihood_every} and {self.sharpness}",
            )


_STILL = 1e-5
"""A shorter way is what rounding makes of features that did not move: it has no direction."""


def leakgan(
    model: LeakGAN, batch: CausalBatch, rewards: Float[Tensor, "B T"], worker_reward: WorkerReward = "intrinsic"
) -> Loss:
    """Both losses over texts that ``model`` itself sampled: ``total`` is the Worker's, ``auxiliary`` the
    Manager's.

    ``rewards[b, t]`` is the value Q of the text up to and including ``batch.targets[b, t]``, `rescaled` or not. A text
    of n tokens has n goals, g_0 to g_{n-1}, so that both losses are means over the tokens.
    """
    features, goals = model.plan(_whole(batch))
    worth = intrinsic_rewards(features, goals, model.config.horizon)
    total = _written(model, batch, goals, worth if worker_reward == "intrinsic" else None)
    manager = manager_loss(features, goals, batch.lengths, model.config.horizon, rewards)
    metrics = {"intrinsic_reward": worth[batch.mask].sum()}
    return Loss(total, batch.mask.sum().to(total.dtype), auxiliary={"manager": manager}, metrics=metrics)


def leakgan_pretraining(model: LeakGAN, batch: CausalBatch) -> Loss:
    """Before the game, over real texts: ``total`` is the Worker's likelihood, the usual negative logarithm, and
    ``auxiliary`` the Manager's loss with a value of 1 everywhere."""
    features, goals = model.plan(_whole(batch))
    total = _written(model, batch, goals, None)
    manager = manager_loss(features, goals, batch.lengths, model.config.horizon, torch.ones_like(features[:, 1:, 0]))
    return Loss(total, batch.mask.sum().to(total.dtype), auxiliary={"manager": manager})


def manager_loss(
    features: Float[Tensor, "B N F"],
    goals: Float[Tensor, "B N F"],
    lengths: Int[Tensor, "B"],
    horizon: int,
    rewards: Float[Tensor, "B T"],
) -> Float[Tensor, ""]:
    """-sum_t Q_t cos(f_e - f_t, g_t) over the goals that a token follows, where e is t + ``horizon`` or the end of the
    text; N = T + 1, and Q_t is the value of s_e, ``rewards[:, e - 1]``."""
    places = torch.arange(rewards.shape[1], device=lengths.device)
    ends = (places + horizon).minimum(lengths[:, None])
    features = features.detach()
    reached = features.gather(1, ends[:, :, None].expand(-1, -1, features.shape[2]))
    along = _cosine(reached - features[:, :-1], goals[:, :-1])
    worth = rewards.gather(1, (ends - 1).clamp(min=0))
    return -(worth * along)[places < lengths[:, None]].sum()


@torch.no_grad()
def intrinsic_rewards(
    features: Float[Tensor, "B N F"], goals: Float[Tensor, "B N F"], horizon: int
) -> Float[Tensor, "B T"]:
    """r of each of T = N - 1 tokens: how far the text went, by it and up to c - 1 before it, where the goals led."""
    length = features.shape[1] - 1
    total = features.new_zeros(features.shape[0], length)
    for i in range(1, min(horizon, length) + 1):
        total[:, i - 1 :] += _cosine(features[:, i:] - features[:, :-i], goals[:, :-i])
    return total / torch.arange(1, length + 1, device=features.device).clamp(max=horizon)


def rescaled(
    rewards: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"], sharpness: float = SHARPNESS
) -> Float[Tensor, "B T"]:
    """Bootstrapped rescaled activation: R = sigmoid(delta (0.5 - rank / B)) at each position, of its rank among the B
    texts that reach it, 1 for the highest reward; 0 where there is no token.

    However close the rewards, or whatever they are when the discriminator wins, the best get nearly 1 and the worst
    nearly 0. Equal ones share equally what their ranks would get, so that the mean of a position depends on B alone.
    The authors' program goes through its rewards in no order: its ranks are not those of the rewards.
    """
    there = mask[:, None] & mask[None]  # [i, j, t]
    above = ((rewards[None] > rewards[:, None]) & there).sum(1)
    equal = ((rewards[None] == rewards[:, None]) & there).sum(1)
    ranks = torch.arange(1, rewards.shape[0] + 1, device=rewards.device, dtype=rewards.dtype)
    count = mask.sum(0).clamp(min=1)
    each = torch.sigmoid(sharpness * (0.5 - ranks[:, None] / count))  # [rank, t]
    summed = F.pad(each.cumsum(0), (0, 0, 1, 0))
    shared = (summed.gather(0, above + equal) - summed.gather(0, above)) / equal.clamp(min=1)
    return torch.where(mask, shared, 0.0)


def _whole(batch: CausalBatch) -> Int[Tensor, "B N"]:
    """Start and tokens of each text: the features of the last one are of the whole text."""
    return torch.cat([batch.tokens[:, :1], batch.targets], dim=1)


def _written(
    model: LeakGAN, batch: CausalBatch, goals: Float[Tensor, "B N F"], weights: Float[Tensor, "B T"] | None
) -> Float[Tensor, ""]:
    """Weighted sum of -log p over the trained tokens, the goals as they are."""
    hidden = model.write(batch.tokens, goals[:, :-1].detach())[batch.mask]
    chosen = None if weights is None else weights[batch.mask]
    return model.head.nll_sum(hidden, batch.targets[batch.mask], chosen)


def _cosine(moved: Float[Tensor, "B N F"], goals: Float[Tensor, "B N F"]) -> Float[Tensor, "B N"]:
    return F.cosine_similarity(moved, goals, dim=-1, eps=_STILL)
