"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024): answers that are good or bad, each by itself, without pairs.

    r = log pi(y|x) / pi_ref(y|x),    z = max(0, KL(pi || pi_ref))
    L = lambda_D (1 - sigmoid(beta (r - z)))  of a good answer,   lambda_U (1 - sigmoid(beta (z - r)))  of a bad one
                                                                                                           (eq. 7, 8)
z is the point from which gains and losses are felt. It is estimated from texts that do not belong together, each prompt
with the answer of another, as the mean of their log-ratios over the batch, and has no gradient (section 4.1). It is of
the whole batch whatever part of it is computed at a time, so accumulated gradients are those of the whole.
"""

import dataclasses
import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trivium.data.batches import CausalBatch, JudgedBatch, Mismatched
from trivium.errors import ConfigError
from trivium.objectives.answers import AsReference, Reader, reference_log_probs, weighted, without_dropout
from trivium.objectives.loss import Loss


def kto_loss(
    ratio: Float[Tensor, "B"],
    good: Bool[Tensor, "B"],
    divergence: Float[Tensor, ""],
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Float[Tensor, "B"]:
    """The loss of each answer, from its log-ratio of policy to reference and z, both in nats."""
    gain = beta * (ratio - divergence)
    return torch.where(
        good, desirable_weight * torch.sigmoid(-gain), undesirable_weight * torch.sigmoid(gain)
    )  # 1 - sigmoid(x) = sigmoid(-x), which keeps its digits


@dataclasses.dataclass(frozen=True, kw_only=True)
class KTO:
    """The loss."""

    beta: float = 0.1
    """Of the implicit reward: the higher, the nearer the policy stays to its reference."""
    desirable_weight: float = 1.0
    """lambda_D, of good answers. With n of them, and m bad ones, lambda_D n / (lambda_U m) is to be in [1, 3/2]."""
    undesirable_weight: float = 1.0
    """lambda_U, of bad ones."""

    def __post_init__(self) -> None:
        for name in ("beta", "desirable_weight", "undesirable_weight"):
            if not 0 < getattr(self, name) < math.inf:  # NaN fails every comparison
                raise ConfigError(f"{name} must be a finite number above 0", received=getattr(self, name))

    def __call__(
        self, ratio: Float[Tensor, "B"], good: Bool[Tensor, "B"], divergence: Float[Tensor, ""]
    ) -> Float[Tensor, "B"]:
        """The loss of each answer."""
        return kto_loss(
            ratio,
            good,
            divergence,
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )


class Judging:
    """The objective ``(model, batch) -> Loss`` of answers that are good or bad, summed with their weights.

    A batch brings the reference's log-probabilities, or they are computed with ``as_reference``. Metrics, as means over
    the weighted answers: "good_reward" and "bad_reward" (each 0 for the others, so of unequal shares), "good_share",
    "divergence" (z), "log_ratio" (how far the log-probability of a token is from the reference's) and "tokens".
    """

    def __init__(self, loss: KTO, *, read: Reader, as_reference: AsReference | None = None) -> None:
        self._loss, self._read, self._as_reference = loss, read, as_reference
        self._known: _Known | None = None

    def __call__(self, model: nn.Module, batch: JudgedBatch) -> Loss:
        """Of a batch, or of a part of one."""
        without_dropout(model)
        divergence = self._divergence(model, batch)
        (reference,) = self._reference(model, batch.answers, batch.reference)
        (answers,), auxiliary = self._read.with_auxiliary(model, batch.answers)
        ratio = answers.log_probs - reference
        weights = batch.weights.to(ratio.dtype)
        reward, good, count = self._loss.beta * ratio, batch.good.to(ratio.dtype), weights.sum()
        seen = {
            "good_reward": reward * good,
            "bad_reward": reward * (1 - good),
            "good_share": good,
            "good_log_prob": answers.log_probs * good,
            "divergence": divergence.expand(batch.rows),
            "log_ratio": ratio.abs() / answers.tokens,
            "tokens": answers.tokens,
        }
        return Loss(
            total=(weights * self._loss(ratio, batch.good, divergence)).sum(),
            count=count,
            auxiliary={name: value * count for name, value in auxiliary.items()},
            metrics=weighted(seen, weights),
        )

    def _divergence(self, model: nn.Module, batch: JudgedBatch) -> Float[Tensor, ""]:
        """z of the whole batch that this is a part of: found once for the parts of a batch, which share `Mismatched`,
        while the weights are what they were."""
        written = [parameter._version for parameter in model.parameters()]
        known = self._known
        if known is None or known.model is not model or known.of is not batch.mismatched or known.written != written:
            known = _Known(of=batch.mismatched, model=model, written=written, value=self._estimate(model, batch))
            self._known = known
        return known.value

    @torch.no_grad()
    def _estimate(self, model: nn.Module, batch: JudgedBatch) -> Float[Tensor, ""]:
        """The same, computed: no more texts at a time than are trained on."""
        texts, reference = batch.mismatched.answers, batch.mismatched.reference
        log_ratios = []
        for start in range(0, texts.rows, batch.rows):
            stop = min(start + batch.rows, texts.rows)
            part = texts.part(start, stop).to(batch.good.device)
            (theirs,) = self._reference(model, part, None if reference is None else reference[start:stop])
            (own,) = self._read(model, part)
            log_ratios.append(own.log_probs - theirs)
        return torch.cat(log_ratios).mean().clamp_min(0)

    def _reference(
        self, model: nn.Module, answers: CausalBatch, given: Float[Tensor, "B"] | None
    ) -> tuple[Float[Tensor, "B"], ...]:
        """Log-probabilities under the reference: those that the batch brings, or computed."""
        if given is not None:
            return (given.to(answers.tokens.device),)
        assert self._as_reference is not None, "neither the reference's numbers nor the way to them"
        return reference_log_probs(model, self._read, self._as_reference, answers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Known:
    """z of one batch, and what it was computed with."""

    of: Mismatched
    model: nn.Module
    written: list[int]
    """How often each parameter had been written to."""
    value: Float[Tensor, ""]
