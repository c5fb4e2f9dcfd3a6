"""Proximal policy optimisation (Schulman et al. 2017): clipped surrogate, clipped value loss, entropy bonus.

An action is a token, its state the text before it. Everything is a sum over the tokens that the policy chose, to be
divided by their true count.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.data.batches import Batch
from trivium.errors import ConfigError
from trivium.objectives.loss import Loss


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Weights and clips of eq. 9."""

    clip: float = 0.2
    """The ratio to the old policy counts as at most 1 + clip and at least 1 - clip (epsilon)."""
    value_clip: float = 0.2
    """The critic is not rewarded for moving further than this from its old estimate."""
    value_weight: float = 0.1
    """c_1, weight of the value loss."""
    entropy_weight: float = 0.0
    """c_2, weight of the entropy bonus."""

    def __post_init__(self) -> None:
        for name in ("clip", "value_clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0", received=getattr(self, name))
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

    @property
    def num_tokens(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True)
class Choices:
    """A model's and its critic's view of ``N`` chosen tokens."""

    log_probs: Float[Tensor, "N"]
    """Log-probability of each token in its context."""
    values: Float[Tensor, "N"]
    """Expected return before it was chosen."""
    hidden: Float[Tensor, "N D"]
    """Hidden state that it was chosen from."""


def contexts(
    model: nn.Module, tokens: Int[Tensor, "B T"], lengths: Int[Tensor, "B"], mask: Bool[Tensor, "B T"]
) -> tuple[Float[Tensor, "N D"], Int[Tensor, "N"]]:
    """The hidden states that the tokens of ``mask`` were chosen from, row after row, and those tokens.

    The first token of a row has no context to be chosen in.
    """
    assert not bool(mask[:, 0].any()), "the first token of a row is given, never chosen"
    rows, columns = mask.nonzero(as_tuple=True)
    return model(tokens, lengths=lengths).hidden[rows, columns - 1], tokens[rows, columns]


def choices(
    model: nn.Module,
    critic: nn.Module,
    tokens: Int[Tensor, "B T"],
    lengths: Int[Tensor, "B"],
    mask: Bool[Tensor, "B T"],
) -> Choices:
    """How ``model`` and ``critic`` see the tokens of ``mask``."""
    hidden, chosen = contexts(model, tokens, lengths, mask)
    return Choices(model.head.log_prob(hidden, chosen), critic(hidden), hidden)


def surrogate(
    log_probs: Float[Tensor, "N"], old_log_probs: Float[Tensor, "N"], advantages: Float[Tensor, "N"], clip: float
) -> Float[Tensor, "N"]:
    """min(r A, clip(r, 1 - clip, 1 + clip) A) with r = policy / old policy (eq. 7); to be maximised."""
    ratio = (log_probs - old_log_probs).exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


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


def ppo(model: nn.Module, critic: nn.Module, batch: PPOBatch, config: PPOConfig) -> Loss:
    """-L^CLIP + c_1 L^VF - c_2 S (eq. 9, negated: we minimise), summed over the chosen tokens."""
    seen = choices(model, critic, batch.tokens, batch.lengths, batch.mask)
    old_log_probs, advantages = batch.log_probs[batch.mask], batch.advantages[batch.mask]
    policy_loss = -surrogate(seen.log_probs, old_log_probs, advantages, config.clip).sum()
    critic_loss = value_loss(seen.values, batch.values[batch.mask], batch.returns[batch.mask], config.value_clip).sum()
    ratio = (seen.log_probs.detach() - old_log_probs).exp()
    metrics = {
        "policy_loss": policy_loss.detach(),
        "value_loss": critic_loss.detach(),
        "ratio_deviation": (ratio - 1).abs().sum(),
        "clipped": ((ratio - 1).abs() > config.clip).sum().to(ratio.dtype),
    }
    total = policy_loss + config.value_weight * critic_loss
    if config.entropy_weight:
        bonus = entropy(model.head(seen.hidden)).sum()
        total = total - config.entropy_weight * bonus
        metrics["entropy"] = bonus.detach()
    return Loss(total=total, count=batch.mask.sum().to(total.dtype), metrics=metrics)
