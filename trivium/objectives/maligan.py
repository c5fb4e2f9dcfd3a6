"""MaliGAN: the likelihood of the generator's own texts, weighted by how real they are (Che et al. 2017).

For an ideal discriminator r = D / (1 - D) is the ratio of the real distribution to the generator's, so that
sum_i r_i log p(y_i) over the generator's texts estimates the likelihood of *real* ones (section 3). The weights are
normalised over the texts they are compared with, less a baseline:

    -sum_i (r_i / sum_j r_j - b / n) sum_t log p(y_it)

of n texts. With D = sigmoid(logit), r is exp(logit), and the normalised weights a softmax of the logits: no D near 1
overflows. The paper's b rises slowly from 0 to 1; it is taken here in units of the mean weight, 1 / n, so that at 1 the
weights add up to 0. Subtracted as it stands, b = 1 would make every text less likely but one.

Weights and losses here are n times as large and the count is n, so that they can be added up in parts.

Mixed with maximum likelihood ("Mixed MLE-Mali training"): the first N tokens of a text are those of a real one, and
count as in teacher forcing; the generator goes on, several times from each beginning, and the continuations of one
beginning are weighted among themselves. N falls from the whole length to 0.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.objectives.loss import Loss
from trivium.objectives.weighted_likelihood import weighted_nll


@dataclass(frozen=True, kw_only=True)
class MaliGANConfig:
    """How MaliGAN's two schedules run."""

    baseline_steps: int = 1000
    """Steps until b, rising linearly from 0, is 1."""
    forcing_steps: int = 0
    """Steps until N, falling linearly from the whole length, is 0; 0 never takes tokens of a real text."""
    continuations: int = 8
    """Texts from each beginning, while there are tokens of real ones (m in the paper)."""

    def __post_init__(self) -> None:
        if self.baseline_steps < 1:
            raise ConfigError("baseline_steps must be at least 1", received=self.baseline_steps)
        if self.forcing_steps < 0:
            raise ConfigError("forcing_steps must be at least 0", received=self.forcing_steps)
        if self.continuations < 2:
            raise ConfigError("continuations are weighed against one another", received=self.continuations, fix="set 2")

    def baseline(self, step: int) -> float:
        """b at a step, counted from 0: in units of the mean weight, see above."""
        return min(1.0, step / self.baseline_steps)

    def forced(self, step: int, length: int) -> int:
        """N at a step, counted from 0, for texts of at most ``length`` tokens."""
        if not self.forcing_steps:
            return 0
        return math.ceil(length * max(0.0, 1 - step / self.forcing_steps))


def relative_weights(
    logits: Float[Tensor, "B"], baseline: float, continuations: int | None = None
) -> Float[Tensor, "B"]:
    """n (r_i / sum_j r_j) - b for texts of which the discriminator says ``logits`` = log D / (1 - D).

    Over each ``continuations`` = n consecutive texts, those of one beginning; over all of the batch by default. Their
    mean is 1 - b.
    """
    n = len(logits) if continuations is None else continuations
    assert len(logits) % n == 0, (len(logits), n)
    wide = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
    return (n * torch.softmax(wide.view(-1, n), dim=-1) - baseline).flatten()


def token_weights(
    weights: Float[Tensor, "B"], lengths: Int[Tensor, "B"], forced: int, length: int
) -> Float[Tensor, "B {length}"]:
    """What each token of a text counts: 1 for the first ``forced``, the text's own weight after them, 0 beyond its
    length."""
    places = torch.arange(length, device=weights.device)
    each = torch.where(places < forced, 1.0, weights[:, None])
    return torch.where(places < lengths[:, None], each, 0.0)


def maligan(model: nn.Module, batch: CausalBatch, weights: Float[Tensor, "B T"]) -> Loss:
    """-sum_i sum_t w_it log p(y_it), in nats, counted by texts; ``weights`` are those of `token_weights`.

    They are to be worked out over all the texts of an update, and then cut as the batch is.
    """
    total = weighted_nll(model, batch, weights)
    metrics = {"tokens": batch.mask.sum().to(total.dtype)}
    return Loss(total=total, count=total.new_tensor(float(batch.rows)), metrics=metrics)
