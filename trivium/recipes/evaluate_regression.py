"""How near the numbers that a model estimates are to those of people, and whether they order texts alike."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from trivium.data.labelled import LabelledText
from trivium.evaluation import metrics
from trivium.evaluation.intervals import Interval, bootstrap
from trivium.lm.local import LocalModel
from trivium.recipes.evaluate_classification import evenly_spread
from trivium.runtime.progress import bar

_AT_ONCE = 256
_FEWEST = 4  # examples that a correlation's interval needs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimated:
    """One text, or pair of texts, with its number."""

    text: str
    """The text, or the first of the two."""
    text_pair: str | None
    """The second."""
    target: float
    """The number in the data."""
    score: float
    """The model's."""


def evaluate_regression(
    model: LocalModel, examples: Sequence[LabelledText], *, limit: int | None = None, silent: bool = True
) -> tuple[dict[str, Any], list[Estimated]]:
    """`{"task", "metrics", "intervals", "count", "settings"}` and every estimate.

    Pearson's and Spearman's correlation, with the intervals of `correlation_interval`, and the mean squared error, with
    that of a bootstrap, at 95 %. A `limit` takes texts spread evenly over the data. Raises `DataError` for a label that
    is no number, before any work.
    """
    chosen = evenly_spread(examples, limit)
    targets = [example.number for example in chosen]
    scores: list[float] = []
    with bar("regression", total=len(chosen), unit="texts", silent=silent) as progress:
        for start in range(0, len(chosen), _AT_ONCE):
            some = chosen[start : start + _AT_ONCE]
            scores += model.regress([example.read for example in some])
            progress.advance(len(some))
    figures, intervals = correlated(scores, targets)
    errors = (np.array(scores) - np.array(targets)) ** 2
    figures["mse"] = float(errors.mean())
    interval = bootstrap(errors)
    intervals["mse"] = [interval.low, interval.high]
    answered = [
        Estimated(text=example.text, text_pair=example.second, target=target, score=score)
        for example, target, score in zip(chosen, targets, scores, strict=True)
    ]
    return {
        "task": "regression",
        "metrics": figures,
        "intervals": intervals,
        "count": len(chosen),
        "settings": {"limit": limit, "confidence": 0.95},
    }, answered


def correlated(scores: Sequence[float], targets: Sequence[float]) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Pearson's and Spearman's correlation, and their intervals. Raises `DataError` for targets that are all equal."""
    found = metrics.correlation(scores, targets)
    figures = {name: found[name] for name in ("pearson", "spearman")}
    if len(scores) < _FEWEST:
        return figures, {}
    drawn = {name: correlation_interval(figures[name], len(scores), ranks=name == "spearman") for name in figures}
    return figures, {name: [interval.low, interval.high] for name, interval in drawn.items()}


def correlation_interval(value: float, count: int, *, ranks: bool, confidence: float = 0.95) -> Interval:
    """The interval of a correlation of ``count`` > 3 examples, on the scale of arctanh, where it is nearly normal.

    Its variance there is 1 / (n - 3) (Fisher 1921), and for ranks (1 + r^2 / 2) / (n - 3) (Bonett and Wright 2000,
    "Sample size requirements for estimating Pearson, Kendall and Spearman correlations").
    """
    if abs(value) >= 1:
        return Interval(estimate=value, low=value, high=value)
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    half = z * math.sqrt((1 + value * value / 2 if ranks else 1) / (count - 3))
    middle = math.atanh(value)
    return Interval(estimate=value, low=math.tanh(middle - half), high=math.tanh(middle + half))
