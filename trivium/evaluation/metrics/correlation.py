"""Correlation of scores with those of people: Pearson's r, Spearman's rho and Kendall's tau-b.

Spearman's is Pearson's of the ranks, equal values sharing the mean of theirs. Tau-b (Kendall 1945, "The treatment of
ties in ranking problems") is the difference of concordant and discordant pairs over the geometric mean of the pairs
that are tied in neither; discordant pairs are counted while sorting by halves (Knight 1966), so it takes n log² n.
"""

import math
from collections.abc import Sequence

import numpy as np

from trivium.errors import DataError
from trivium.evaluation.metrics import checks


def correlation(
    predictions: Sequence[float] | np.ndarray, references: Sequence[float] | np.ndarray
) -> dict[str, float]:
    """{"pearson", "spearman", "kendall"}, -1 to 1 each.

    Predictions that are all equal tell nothing and get 0. Raises `DataError` for unequal counts, values that are no
    finite numbers, fewer than two examples, and references that are all equal.
    """
    checks.count(predictions, references)
    x, y = checks.numbers(predictions, "predictions"), checks.numbers(references, "references")
    if x.ndim != 1 or y.ndim != 1:
        raise DataError("correlation takes one number an example", received=f"{x.shape} and {y.shape}")
    if len(y) < 2 or (y == y[0]).all():
        raise DataError(
            "nothing can correlate with a constant",
            received=f"{len(y)} references equal to {y[0]:g}",
            expected="at least two different references",
        )
    if (x == x[0]).all():
        return {"pearson": 0.0, "spearman": 0.0, "kendall": 0.0}
    return {"pearson": _pearson(x, y), "spearman": _pearson(_ranks(x), _ranks(y)), "kendall": _kendall(x, y)}


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    # Scaled first: the squares of very large or very small values would leave the range of float64.
    x, y = (part / np.abs(part).max() for part in (x - x.mean(), y - y.mean()))
    return float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1, 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _kendall(x: np.ndarray, y: np.ndarray) -> float:
    order = np.lexsort((y, x))  # by x, then by y: what is tied in x then counts as no inversion
    discordant = _inversions(y[order])
    pairs = len(x) * (len(x) - 1) // 2
    tied_x, tied_y = (_tied_pairs(np.unique(values, return_counts=True)[1]) for values in (x, y))
    both = _tied_pairs(np.unique(np.stack([x, y]), axis=1, return_counts=True)[1])
    difference = pairs - tied_x - tied_y + both - 2 * discordant
    return float(np.clip(difference / math.sqrt(pairs - tied_x) / math.sqrt(pairs - tied_y), -1, 1))


def _tied_pairs(counts: np.ndarray) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _inversions(values: np.ndarray) -> int:
    """How many pairs stand in descending order."""
    if len(values) <= 64:
        return int(np.triu(values[:, None] > values[None, :], 1).sum())
    left, right = np.array_split(values, 2)
    # For each on the right, those on the left that are greater.
    across = len(left) * len(right) - int(np.searchsorted(np.sort(left), right, side="right").sum())
    return across + _inversions(left) + _inversions(right)
