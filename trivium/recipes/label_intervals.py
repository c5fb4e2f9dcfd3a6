"""How sure figures of labels are that are no shares of right answers: macro F1, Matthews' correlation.

    interval = mcc_interval(np.array([0, 1, 1]), np.array([0, 1, 0]))

An example is the pair of its classes, so that a resample is how often each different pair is drawn: of N examples and L
classes memory is N + L, where a row an example of hits, predictions and truths would be 3 N L.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trivium.evaluation.intervals import Interval, corrected_interval

_RESAMPLES = 2000
_Numbers = float | np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """The different pairs of classes that occur, [P], and how often; classes are numbered as they occur."""

    true: np.ndarray
    """The class it should be, [P]."""
    said: np.ndarray
    """The class it was given, [P]."""
    times: np.ndarray
    """Examples of the pair, [P]."""
    classes: int
    """Number of classes L that occur."""

    def counts(self, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hits, truths and predictions of each class, [L], where the pairs occur ``drawn`` times."""
        hits = np.bincount(self.true, np.where(self.true == self.said, drawn, 0), self.classes)
        return hits, np.bincount(self.true, drawn, self.classes), np.bincount(self.said, drawn, self.classes)


def macro_f1_interval(targets: np.ndarray, given: np.ndarray) -> Interval:
    """The 95 % bootstrap interval (BCa) of macro F1 over the classes that occur; both are classes, [N]."""
    pairs = _pairs(targets, given)
    true, said = pairs.true, pairs.said

    def of_classes(drawn: np.ndarray) -> np.ndarray:
        hits, truths, predictions = pairs.counts(drawn)
        return _f1(hits, truths + predictions)

    hits, truths, predictions = pairs.counts(pairs.times)
    marks = truths + predictions
    before = _f1(hits, marks)
    # Without one example of a pair only the F1 of its two classes changes, or of its one.
    alike = _f1(hits[true] - 1, marks[true] - 2) - before[true]
    unlike = _f1(hits[true], marks[true] - 1) - before[true] + _f1(hits[said], marks[said] - 1) - before[said]
    left_out = before.mean() + np.where(true == said, alike, unlike) / pairs.classes
    return _interval(pairs, lambda drawn: float(of_classes(drawn).mean()), left_out)


def mcc_interval(targets: np.ndarray, given: np.ndarray) -> Interval:
    """The 95 % bootstrap interval (BCa) of Matthews' correlation, see `metrics.mcc`; both are classes, [N]."""
    pairs = _pairs(targets, given)

    def of_sums(drawn: np.ndarray) -> np.ndarray:
        hits, truths, predictions = pairs.counts(drawn)
        products = predictions @ truths, truths @ truths, predictions @ predictions
        return np.array([drawn.sum(), hits.sum(), *products], dtype=float)

    total, hits, together, of_truths, of_predictions = of_sums(pairs.times)
    _, truths, predictions = pairs.counts(pairs.times)
    right = pairs.true == pairs.said
    left_out = _correlation(
        total - 1,
        hits - right,
        together - truths[pairs.said] - predictions[pairs.true] + right,
        of_truths - 2 * truths[pairs.true] + 1,
        of_predictions - 2 * predictions[pairs.said] + 1,
    )
    return _interval(pairs, lambda drawn: float(_correlation(*of_sums(drawn))), left_out)


def _pairs(targets: np.ndarray, given: np.ndarray) -> _Pairs:
    classes, places = np.unique(np.concatenate([targets, given]), return_inverse=True)
    number, examples = len(classes), len(targets)
    pairs, times = np.unique(places[:examples] * number + places[examples:], return_counts=True)
    true, said = np.divmod(pairs, number)
    return _Pairs(true=true, said=said, times=times, classes=number)


def _interval(pairs: _Pairs, figure: Callable[[np.ndarray], float], left_out: np.ndarray) -> Interval:
    """``left_out`` are the figures without one example of each pair, [P]."""
    examples = int(pairs.times.sum())
    chance = np.random.default_rng(0)
    drawn = [figure(chance.multinomial(examples, pairs.times / examples)) for _ in range(_RESAMPLES)]
    return corrected_interval(figure(pairs.times), np.array(drawn), np.repeat(left_out, pairs.times))


def _f1(hits: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Of each class, from its hits and its predictions and truths together; 0 where there is neither."""
    return 2 * hits / np.maximum(marks, 1)


def _correlation(
    total: float, hits: _Numbers, together: _Numbers, of_truths: _Numbers, of_predictions: _Numbers
) -> np.ndarray:
    """R_K of Gorodkin 2004 from the number of examples, of hits, and the products of the counts of classes: truths with
    predictions, each with themselves; 0 where either is all of one class."""
    spread = (total**2 - of_truths) * (total**2 - of_predictions)
    return np.where(spread > 0, (total * hits - together) / np.sqrt(np.maximum(spread, 1)), 0.0)
