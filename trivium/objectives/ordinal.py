"""Grades in their order: the cumulative logit model, on the number that a head gives a text.

    p(y <= k | x) = sigmoid(theta_k - r(x)),      theta_1 < theta_2 < ... < theta_{L-1}

(McCullagh 1980, "Regression Models for Ordinal Data", eq. 2.1). How far apart two grades are is learnt: a rater's 4 and
5 may be nearer than 1 and 2, which a squared error would not know. Cut-points are parameters beside the head; they are
needed to tell the probability of a grade, and not to compare two answers.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import LabelledBatch
from trivium.objectives.loss import Loss
from trivium.objectives.reading import read

_LEAST_SHARE = 1e-3


class CutPoints(nn.Module):
    """theta of every criterion, as the first of them and the logarithms of the steps to the next: always in order."""

    def __init__(self, shares: Sequence[Sequence[float]]) -> None:
        """``shares``: of each criterion, how much of the training data has each of its grades, the lowest first. They
        begin where these shares are what a score of 0 predicts."""
        super().__init__()
        begun = [_begun(torch.tensor(each, dtype=torch.float64)).float() for each in shares]
        self.first = nn.ParameterList(each[:1] for each in begun)
        self.steps = nn.ParameterList(each.diff().log() for each in begun)

    def theta(self, criterion: int) -> Float[Tensor, "_"]:
        """The L - 1 cut-points of a criterion, ascending."""
        first, steps = self.first[criterion], self.steps[criterion]
        return torch.cat([first, first + steps.exp().cumsum(0)])

    def nll(self, scores: Float[Tensor, "B"], grades: Int[Tensor, "B"], criterion: int = 0) -> Float[Tensor, "B"]:
        """-log p(grade | score) in nats; grades are counted from 0.

        For inner grades sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), none of which is lost where
        both sigmoids are nearly 1.
        """
        theta = self.theta(criterion).to(scores.dtype)
        top = len(theta)
        above = theta[grades.clamp(max=top - 1)]
        below = theta[(grades - 1).clamp(min=0)]
        upper = torch.where(grades < top, F.logsigmoid(above - scores), 0.0)
        lower = torch.where(grades > 0, F.logsigmoid(scores - below), 0.0)
        inner = (grades > 0) & (grades < top)
        apart = torch.where(inner, above - below, 1.0)  # a safe number: its gradient is not taken
        return -(upper + lower + torch.where(inner, torch.log(-torch.expm1(-apart)), 0.0))


def ordinal(model: nn.Module, batch: LabelledBatch) -> Loss:
    """Negative log-likelihood (nats) of the grades ``batch.labels`` ([B], or [B, N] of N criteria, as whole numbers),
    summed over the rows; of several criteria the mean. ``model.cut_points`` are `CutPoints`. The metric "tokens" counts
    what was read."""
    output = read(model, batch)
    scores = model.classify(output.hidden, batch.lengths)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    grades = batch.labels.reshape(batch.rows, -1).long()
    assert grades.shape == scores.shape, f"{grades.shape[1]} grades a text, and a head of {scores.shape[1]}"
    cuts = model.cut_points
    assert isinstance(cuts, CutPoints), "they are put on the network before it is trained"
    each = [cuts.nll(scores[:, number], grades[:, number], number) for number in range(scores.shape[1])]
    total = torch.stack(each).mean(0).sum()
    count = torch.tensor(float(batch.rows), dtype=total.dtype, device=total.device)
    tokens = batch.lengths.sum().to(total.dtype)
    return Loss(total=total, count=count, auxiliary=output.auxiliary, metrics={"tokens": tokens})


def _begun(shares: Float[Tensor, "L"]) -> Float[Tensor, "L-1"]:
    assert len(shares) > 1, "one grade says nothing"
    shares = shares.clamp(min=_LEAST_SHARE)
    return torch.logit((shares / shares.sum()).cumsum(0)[:-1])
