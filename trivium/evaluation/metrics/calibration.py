"""Whether a model is right as often as it is sure: calibration error, Brier score, and the bins of the diagram.

Expected calibration error is that of Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3: over bins
of equal width, the gap between mean confidence and accuracy, weighted by what falls into the bin. The adaptive one has
bins of equal count (Nixon et al. 2019, "Measuring Calibration in Deep Learning", section 3), as nearly as may be where
equal confidences never part. Both depend on the number of bins. The Brier score (Brier 1950) does not, and rewards
sharpness as well.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trivium.errors import DataError
from trivium.evaluation.metrics import checks


def calibration(
    predictions: Sequence[float] | Sequence[Sequence[float]] | np.ndarray,
    references: Sequence[int] | np.ndarray,
    *,
    bins: int = 15,
) -> dict[str, Any]:
    """{"ece", "adaptive_ece", "brier", "accuracy", "confidence", "bins": [{"low", "high", "count", ...}, ...]}.

    `predictions` are either the confidence [N] that each answer is right, with `references` 1 where it is and 0 where
    not, or the probabilities [N, C] of the classes, with `references` the true class. In the second case confidence is
    the largest probability, and the Brier score sums over the classes: 0 to 2, otherwise 0 to 1. Empty bins are left
    out of the list. Raises `DataError` for unequal counts, what is no probability, and classes that do not exist.
    """
    checks.at_least_one("bins", bins)
    checks.count(predictions, references)
    probabilities = checks.numbers(predictions, "probabilities")
    true = np.asarray(checks.labels(references, references)[1])
    _refuse(probabilities, true)
    if probabilities.ndim == 1:
        confidence, right = probabilities, true.astype(np.float64)
        brier = (confidence - right) ** 2
    else:
        confidence, right = probabilities.max(1), (probabilities.argmax(1) == true).astype(np.float64)
        brier = ((probabilities - (np.arange(probabilities.shape[1]) == true[:, None])) ** 2).sum(1)
    # Guo et al.: bin m is (m - 1)/M to m/M, its upper end included; 0 belongs to the first.
    edges = np.linspace(0, 1, bins + 1)
    equal_width = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return {
        "ece": _gap(equal_width, confidence, right),
        "adaptive_ece": _gap(_equal_count(confidence, bins), confidence, right),
        "brier": float(brier.mean()),
        "accuracy": float(right.mean()),
        "confidence": float(confidence.mean()),
        "bins": _diagram(equal_width, edges, confidence, right),
    }


def _refuse(probabilities: np.ndarray, true: np.ndarray) -> None:
    shape = probabilities.shape
    if len(shape) not in (1, 2) or true.dtype.kind not in "ib":
        raise DataError(
            "calibration takes probabilities and whole numbers",
            received=f"an array of shape {shape}, references of {true.dtype}",
            expected="[N] with 1 for right and 0 for wrong, or [N, C] with the true class",
        )
    classes = shape[1] if len(shape) == 2 else 2
    if true.min() < 0 or true.max() >= classes:
        span = f"{true.min()} to {true.max()}"
        raise DataError("a reference is no class", received=span, expected=f"0 to {classes - 1}")
    sums = probabilities.sum(1) if len(shape) == 2 else np.ones(1)
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-6 or np.abs(sums - 1).max() > 1e-3:
        raise DataError(
            "these are no probabilities",
            received=f"{probabilities.min():g} to {probabilities.max():g}, rows that sum to {sums.min():g} at least",
            expected="0 to 1, and rows that sum to 1",
            fix="take the softmax of logits, or exp of log-probabilities",
        )


def _equal_count(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each example by its rank; equal confidences share the middle one of their ranks, so that the order of
    the examples does not matter."""
    _, place, times = np.unique(confidence, return_inverse=True, return_counts=True)
    last = np.cumsum(times) - 1
    twice_the_rank = 2 * last - times + 1
    return (twice_the_rank * bins // (2 * len(confidence)))[place]


def _gap(bin_of: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> float:
    """Sum over bins of count / N times |accuracy - confidence|: the counts cancel."""
    return float(np.abs(np.bincount(bin_of, right - confidence)).sum() / len(right))


def _diagram(
    bin_of: np.ndarray, edges: np.ndarray, confidence: np.ndarray, right: np.ndarray
) -> list[dict[str, float]]:
    rows = []
    for index in np.unique(bin_of):
        inside = bin_of == index
        rows.append(
            {
                "low": float(edges[index]),
                "high": float(edges[index + 1]),
                "count": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    return rows
