"""ColdGANs: REINFORCE on texts from a colder policy than the generator's own (Scialom et al. 2020).

Texts drawn from the tail of a generator teach it noise. They are drawn near its modes instead, and importance weights
make the gradient that of the generator's own texts again:

    grad J = E_{y ~ behaviour} [ pi(y) / behaviour(y) D(y) sum_t grad log pi(y_t | y_<t) ]

The cold policy (temperature below 1, or a nucleus) gives some texts no chance, which no weight could make up for: the
behaviour is a mixture of it and, with a share epsilon, of one that gives every text a chance.

As published the mixture is of *texts* (one policy writes a whole text) and a weight is the product over the text's
tokens: then it is at most 1 / epsilon where the exploring policy is the generator's own. A mixture of *tokens* (the
policy is chosen anew for each) is offered too; there a text's weight is only bounded by epsilon to the power -length.

Weights above ``clip`` are cut, which takes away from the gradient; the published correction gives it back, with texts
drawn from the generator itself. No gradient goes through a weight.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.objectives.loss import Loss
from trivium.objectives.weighted_likelihood import reward_metrics, weighted_nll


@dataclass(frozen=True, kw_only=True)
class ColdConfig:
    """The behaviour policy, and the clip of the weights."""

    temperature: float = 0.2
    """Of the cold policy: its logits are divided by it."""
    top_p: float = 1.0
    """Mass of the cold policy's nucleus, taken after the temperature; 1 for all tokens."""
    epsilon: float = 0.1
    """Share of the exploring policy."""
    exploring_temperature: float = 1.0
    """Of the exploring policy: 1 for the generator itself."""
    mixture: Literal["texts", "tokens"] = "texts"
    """What is drawn from the one policy or the other."""
    clip: float = 5.0
    """The largest weight of a text (c)."""
    replayed_texts: int = 0
    """Generated texts of before that the discriminator learns from as well; 0 for none."""
    longest_replayed: int = 64
    """Tokens that are kept of each of them."""

    def __post_init__(self) -> None:
        for name in ("temperature", "exploring_temperature", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be above 0", received=getattr(self, name))
        for name in ("top_p", "epsilon"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a share", received=getattr(self, name), expected="above 0, at most 1")
        if self.replayed_texts < 0 or self.longest_replayed < 1:
            received = f"replayed_texts {self.replayed_texts}, longest_replayed {self.longest_replayed}"
            raise ConfigError("replayed texts are counted, and have a token", received=received)


def policies(logits: Float[Tensor, "*N V"], config: ColdConfig) -> tuple[Float[Tensor, "*N V"], Float[Tensor, "*N V"]]:
    """Log-probabilities under the cold policy, -inf outside its nucleus, and under the exploring one; at least fp32."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    cold = torch.log_softmax(wide / config.temperature, dim=-1)
    if config.top_p < 1:
        cold = torch.log_softmax(_nucleus(cold, config.top_p), dim=-1)
    return cold, torch.log_softmax(wide / config.exploring_temperature, dim=-1)


def behaviour(logits: Float[Tensor, "B V"], explores: Bool[Tensor, "B"], config: ColdConfig) -> Float[Tensor, "B V"]:
    """Log-probabilities that the next token of each text is drawn from.

    ``explores`` says which texts the exploring policy writes, chosen with probability epsilon before their first token;
    a mixture of tokens does not ask.
    """
    cold, exploring = policies(logits, config)
    if config.mixture == "tokens":
        return _mixed(cold, exploring, config.epsilon)
    return torch.where(explores[:, None], exploring, cold)


@torch.no_grad()
def log_ratios(
    logits: Float[Tensor, "B T V"], texts: Int[Tensor, "B T"], lengths: Int[Tensor, "B"], config: ColdConfig
) -> Float[Tensor, "B T"]:
    """log pi(y_t | y_<t) - log behaviour(y_t | y_<t) of each token of texts that `behaviour` drew; 0 beyond a length.

    ``logits[b, t]`` are those that ``texts[b, t]`` was drawn from. A text's weight is the exponential of its row's sum.
    """
    valid = torch.arange(texts.shape[1], device=texts.device) < lengths[:, None]
    cold, exploring = (_picked(each, texts, valid) for each in policies(logits, config))
    wide = logits.to(cold.dtype)
    own = _picked(torch.log_softmax(wide, dim=-1), texts, valid)
    if config.mixture == "tokens":
        return torch.where(valid, own - _mixed(cold, exploring, config.epsilon), 0.0)
    beginnings = _mixed(cold.cumsum(1), exploring.cumsum(1), config.epsilon)  # log behaviour(y_1 ... y_t)
    return own - torch.diff(beginnings, dim=1, prepend=torch.zeros_like(beginnings[:, :1]))


def importance_weights(ratios: Float[Tensor, "B T"], clip: float) -> Float[Tensor, "B"]:
    """min(c, w) with w = pi(y) / behaviour(y), for texts that `behaviour` drew."""
    return ratios.sum(1).clamp(max=math.log(clip)).exp()


def corrections(ratios: Float[Tensor, "B T"], clip: float) -> Float[Tensor, "B"]:
    """max(0, (w - c) / w), for texts that the generator itself drew: their loss, added, makes up for what was cut."""
    return (1 - clip * torch.exp(-ratios.sum(1))).clamp(min=0)


def coldgan(model: nn.Module, batch: CausalBatch, rewards: Float[Tensor, "B"], weights: Float[Tensor, "B"]) -> Loss:
    """-sum_i w_i D_i sum_t log pi(y_it), counted by texts; ``weights`` as above.

    Metrics: those of the rewards, and "weight", whose mean is near 1 while little is clipped.
    """
    each = (weights * rewards)[:, None].expand(batch.targets.shape)
    total = weighted_nll(model, batch, each)
    metrics = {**reward_metrics(rewards), "weight": weights.detach().sum()}
    metrics["tokens"] = batch.mask.sum().to(total.dtype)
    return Loss(total=total, count=total.new_tensor(float(batch.rows)), metrics=metrics)


def _mixed(cold: Float[Tensor, "*N"], exploring: Float[Tensor, "*N"], epsilon: float) -> Float[Tensor, "*N"]:
    """log((1 - epsilon) exp(cold) + epsilon exp(exploring))."""
    if epsilon == 1:
        return exploring
    return torch.logaddexp(cold + math.log1p(-epsilon), exploring + math.log(epsilon))


def _picked(
    log_probs: Float[Tensor, "B T V"], texts: Int[Tensor, "B T"], valid: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T"]:
    return torch.where(valid, log_probs.gather(-1, texts[..., None])[..., 0], 0.0)


def _nucleus(log_probs: Float[Tensor, "*N V"], p: float) -> Float[Tensor, "*N V"]:
    """The fewest likeliest tokens whose mass reaches ``p``, at least one (Holtzman et al. 2020, eq. 2); the others
    -inf."""
    ordered, order = log_probs.sort(dim=-1, descending=True, stable=True)
    masses = ordered.exp()
    beyond = masses.cumsum(-1) - masses >= p  # what stands before it is enough
    return torch.full_like(log_probs, -math.inf).scatter(-1, order, ordered.masked_fill(beyond, -math.inf))
