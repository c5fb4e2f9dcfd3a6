"""Proximal policy optimisation (Schulman et al. 2017): clipped surrogate, clipped value loss, entropy bonus.

An action is a token, its state the text before it. Without a critic the same surrogate is that of GRPO, of its
relatives, and of REINFORCE: they differ in their advantages and in how tokens are averaged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.data.batches import Batch
from trivium.errors import ConfigError
from trivium.objectives.kl import bounded
from trivium.objectives.loss import Loss

Average = Literal["tokens", "texts", "length"]
"""tokens: every token counts the same (PPO; DAPO, Yu et al. 2025, eq. 12). texts: every text does, whatever its length
(GRPO as published, Shao et al. 2024, eq. 3): a token of a long wrong answer is then blamed less. length: tokens count
the same and the sum is divided by the longest length that an answer may have (Dr. GRPO, Liu et al. 2025)."""


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Weights and clips of eq. 9."""

    clip: float = 0.2
    """The ratio to the old policy counts as at most 1 + clip and at least 1 - clip (epsilon)."""
    clip_high: float | None = None
    """The upper clip where it is to be another: DAPO's 0.28 lets rare tokens grow; null for `clip`."""
    average: Average = "tokens"
    """Over what the policy's loss is a mean: tokens, texts, or the longest length (length)."""
    value_clip: float = 0.2
    """The critic is not rewarded for moving further than this from its old estimate."""
    value_weight: float = 0.1
    """c_1, weight of the value loss."""
    entropy_weight: float = 0.0
    """c_2, weight of the entropy bonus."""

    def __post_init__(self) -> None:
        for name in ("clip", "clip_high", "value_clip"):
            given = getattr(self, name)
            if given is not None and not given > 0:
                raise ConfigError(f"{name} must be above 0", received=given)
        for name in ("value_weight", "entropy_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative", received=getattr(self, name))


@dataclass(frozen=True, eq=False)
class PPOBatch(Batch):
    """Texts with what one update needs to know of each chosen token; values outside ``mask`` are unspecified."""

    tokens: Int[Tensor, "B T"]
    """Prompt then completion."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each row."""
    mask: Bool[Tensor, "B T"]
    """True at the tokens that the policy chose."""
    log_probs: Float[Tensor, "B T"]
    """Their log-probability under the policy that chose them."""
    values: Float[Tensor, "B T"]
    """What the critic expected then."""
    advantages: Float[Tensor, "B T"]
    """How much better they were than expected."""
    returns: Float[Tensor, "B T"]
    """What the critic should have said."""
    weights: Float[Tensor, "B T"]
    """How much the loss of each counts."""
    counts: Float[Tensor, "B"]
    """What each row adds to the number that the sum of the losses is divided by."""
    reference: Float[Tensor, "B T"] | None = None
    """Their log-probability under the reference, where the loss has a penalty."""

    @property
    def num_tokens(self) -> int:
        return int(self.mask.sum())


def averaging(
    mask: Bool[Tensor, "B T"], average: Average, longest: int, like: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B"]]:
    """``weights`` and ``counts`` of a `PPOBatch`; answers have at most ``longest`` tokens."""
    each = mask.to(like.dtype)
    if average == "tokens":
        return each, each.sum(1)
    divisor = each.sum(1, keepdim=True).clamp(min=1) if average == "texts" else longest
    return each / divisor, each.new_ones(len(mask))


def contexts(
    model: nn.Module, tokens: Int[Tensor, "B T"], lengths: Int[Tensor, "B"], mask: Bool[Tensor, "B T"]
) -> tuple[Float[Tensor, "N D"], Int[Tensor, "N"]]:
    """The hidden states that the tokens of ``mask`` were chosen from, row after row, and those tokens.

    The first token of a row has no context to be chosen in.
    """
    assert not bool(mask[:, 0].any()), "the first token of a row is given, never chosen"
    rows, columns = mask.nonzero(as_tuple=True)
    return model(tokens, lengths=lengths).hidden[rows, columns - 1], tokens[rows, columns]


def surrogate(
    log_probs: Float[Tensor, "N"],
    old_log_probs: Float[Tensor, "N"],
    advantages: Float[Tensor, "N"],
    clip: float,
    clip_high: float | None = None,
) -> Float[Tensor, "N"]:
    """min(r A, clip(r, 1 - clip, 1 + clip) A) with r = policy / old policy (eq. 7); to be maximised."""
    ratio = bounded(log_probs - old_log_probs).exp()
    held = ratio.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    return torch.minimum(ratio * advantages, held * advantages)


def value_loss(
    values: Float[Tensor, "N"], old_values: Float[Tensor, "N"], returns: Float[Tensor, "N"], clip: float
) -> Float[Tensor, "N"]:
    """Half the larger squared error of the new value and of the new value held within ``clip`` of the old one.

    Not in the paper but in its authors' code, and in Ziegler et al. 2019 after it.
    """
    held = old_values + (values - old_values).clamp(-clip, clip)
    return torch.maximum((values - returns).square(), (held - returns).square()) / 2


def entropy(logits: Float[Tensor, "N V"]) -> Float[Tensor, "N"]:
    """-sum_v p_v log p_v in nats."""
    log_probs = torch.log_softmax(logits, dim=-1)
    return -(log_probs.exp() * log_probs).sum(-1)


Penalty = Callable[[Float[Tensor, "N"], Float[Tensor, "N"]], Float[Tensor, "N"]]
"""``penalty(log_probs, reference) -> cost of each token``, to be minimised: an estimator of the divergence (k2, say)
times its weight."""


def ppo(
    model: nn.Module,
    critic: nn.Module | None,
    batch: PPOBatch,
    config: PPOConfig,
    *,
    temperature: float = 1.0,
    penalty: Penalty | None = None,
) -> Loss:
    """-L^CLIP + c_1 L^VF - c_2 S (eq. 9, negated: we minimise), summed over the chosen tokens as they are weighted.

    ``critic`` reads the policy's own hidden states; without one there is no L^VF. ``penalty`` is added where it is
    given, of ``batch.reference``.
    """
    mask, clip = batch.mask, config.clip
    clip_high = clip if config.clip_high is None else config.clip_high
    hidden, chosen = contexts(model, batch.tokens, batch.lengths, mask)
    log_probs = model.head.log_prob(hidden, chosen, temperature=temperature)
    weights, old_log_probs = batch.weights[mask], batch.log_probs[mask]
    gained = surrogate(log_probs, old_log_probs, batch.advantages[mask], clip, clip_high)
    total = policy_loss = -(weights * gained).sum()
    ratio = bounded(log_probs.detach() - old_log_probs).exp()
    outside = (ratio < 1 - clip) | (ratio > 1 + clip_high)
    metrics = {
        "policy_loss": policy_loss.detach(),
        "ratio_deviation": (weights * (ratio - 1).abs()).sum(),
        "clipped": weights[outside].sum(),
    }
    if penalty is not None:
        assert batch.reference is not None, "a penalty in the loss is of the reference's log-probabilities"
        total = total + (weights * penalty(log_probs, batch.reference[mask])).sum()
    if critic is not None:
        value = critic_loss(critic(hidden), batch, config)
        metrics["value_loss"] = value.detach()
        total = total + config.value_weight * value
    if config.entropy_weight:
        bonus = (weights * entropy(model.head(hidden) / temperature)).sum()
        total = total - config.entropy_weight * bonus
        metrics["entropy"] = bonus.detach()
    return Loss(total=total, count=batch.counts.sum().to(total.dtype), metrics=metrics)


def critic_loss(values: Float[Tensor, "N"], batch: PPOBatch, config: PPOConfig) -> Float[Tensor, ""]:
    """L^VF of the critic's ``values`` for the chosen tokens of ``batch``, weighted as the policy's loss is."""
    mask = batch.mask
    lost = value_loss(values, batch.values[mask], batch.returns[mask], config.value_clip)
    return (batch.weights[mask] * lost).sum()
