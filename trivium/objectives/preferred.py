"""Learning from pairs: an answer that was liked better is to become likelier than the other.

    objective = preferring(DPO(beta=0.1), read=Reader(), as_reference=frozen)      # (model, batch) -> Loss

The losses themselves are in `dpo`, `ipo`, `orpo` and `simpo`, each a function of log-probabilities; here is what they
share. Dropout is off throughout, so that a policy that begins as its reference has an implicit reward of exactly 0
before the first update, where the reference is computed in the step.
"""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.data.batches import PreferenceBatch
from trivium.objectives.answers import Answers, AsReference, Reader, reference_log_probs, weighted, without_dropout
from trivium.objectives.loss import Loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """``B`` pairs of answers as the policy, and the reference, see them."""

    chosen: Answers
    """The answers that were liked better."""
    rejected: Answers
    """The others."""
    reference: Float[Tensor, "B 2"]
    """Log-probabilities of both under the reference, the chosen one's first; 0 for a loss that has no reference."""
    margins: Float[Tensor, "B"]
    """By how much the first was liked better; 0 where that is not known."""

    @property
    def swapped(self) -> "Compared":
        """The same, as if the others had been liked better."""
        reference = self.reference.flip(1)
        return dataclasses.replace(self, chosen=self.rejected, rejected=self.chosen, reference=reference)

    @property
    def chosen_ratio(self) -> Float[Tensor, "B"]:
        """log pi(y_w | x) / pi_ref(y_w | x), in nats."""
        return self.chosen.log_probs - self.reference[:, 0]

    @property
    def rejected_ratio(self) -> Float[Tensor, "B"]:
        """log pi(y_l | x) / pi_ref(y_l | x), in nats."""
        return self.rejected.log_probs - self.reference[:, 1]


@runtime_checkable
class PairLoss(Protocol):
    """What is minimised of each pair."""

    @property
    def needs_reference(self) -> bool:
        """Whether it compares with a reference."""
        ...

    def __call__(self, compared: Compared) -> Float[Tensor, "B"]:
        """The loss of each pair."""
        ...

    def rewards(self, compared: Compared) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
        """The implicit reward of the chosen answers, and of the rejected ones."""
        ...


def preferring(loss: PairLoss, *, read: Reader, as_reference: AsReference | None = None) -> Callable[..., Loss]:
    """The objective ``(model, batch) -> Loss`` of pairs, summed with their weights; the count is the sum of those.

    Where whoever judged was not sure, a pair's loss is that of both ways round in one step, each as probable as it is:
    the cross-entropy with a soft label (Bai et al. 2022, section 4.1). As pairs of their own the two would be learnt at
    different times, each as if it were sure.
    A batch brings the reference's log-probabilities, or they are computed with ``as_reference``. Metrics, as means over
    the weighted pairs: "reward_margin", "reward_accuracy" (ties count as half), "chosen_log_prob" and
    "rejected_log_prob" (nats an answer), "log_ratio" (with a reference: how far the log-probability of a token is from
    the reference's, on average; no divergence, since others wrote the answers) and "tokens" (of both answers).
    """

    def reference_of(model: nn.Module, batch: PreferenceBatch) -> Float[Tensor, "B 2"]:
        if not loss.needs_reference:
            return batch.weights.new_zeros(batch.rows, 2)
        if batch.reference is not None:
            return batch.reference
        assert as_reference is not None, "a loss with a reference, and neither its numbers nor the way to them"
        return torch.stack(reference_log_probs(model, read, as_reference, batch.chosen, batch.rejected), dim=1)

    def objective(model: nn.Module, batch: PreferenceBatch) -> Loss:
        without_dropout(model)
        reference = reference_of(model, batch)
        (chosen, rejected), auxiliary = read.with_auxiliary(model, batch.chosen, batch.rejected)
        compared = Compared(chosen=chosen, rejected=rejected, reference=reference, margins=batch.margins)
        weights = batch.weights.to(chosen.log_probs.dtype)
        count = weights.sum()
        losses = loss(compared)
        if batch.probabilities is not None:
            probable = batch.probabilities.to(losses.dtype)
            losses = probable * losses + (1 - probable) * loss(compared.swapped)
        return Loss(
            total=(weights * losses).sum(),
            count=count,
            auxiliary={name: value * count for name, value in auxiliary.items()},
            metrics=weighted(_seen(loss, compared), weights),
        )

    return objective


def _seen(loss: PairLoss, compared: Compared) -> dict[str, Float[Tensor, "B"]]:
    """What is reported of each pair."""
    better, worse = (reward.detach() for reward in loss.rewards(compared))
    lengths = compared.chosen.tokens + compared.rejected.tokens
    seen = {
        "reward_margin": better - worse,
        "reward_accuracy": ((better - worse).sign() + 1) / 2,
        "chosen_log_prob": compared.chosen.log_probs,
        "rejected_log_prob": compared.rejected.log_probs,
        "tokens": lengths,
    }
    if loss.needs_reference:
        seen["log_ratio"] = (compared.chosen_ratio.abs() + compared.rejected_ratio.abs()) / lengths
    return seen
