"""How sure a figure is: bootstrap intervals, and whether one system is better than another on the same examples.

A figure is a function of sums over examples. For a mean the rows are one number an example; for BLEU they are its
counts (`metrics.bleu.bleu_counts`, with `figure=metrics.bleu.bleu_of()`); for an F1 they are hits, predictions and
truths. A resample is then a sum of rows, each taken as often as it was drawn, and no text is scored twice.

The examples are what is drawn, so an interval speaks of other examples of the same kind, not of other training runs.
Equal seeds give equal results.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trivium.errors import DataError
from trivium.evaluation.metrics import checks

Rows = Sequence[float] | Sequence[Sequence[float]] | np.ndarray
Figure = Callable[[np.ndarray], np.ndarray]
"""From sums [..., K] to figures [...]."""

_AT_ONCE = 2**21  # draws of examples held in memory together
_NORMAL = statistics.NormalDist()


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure, and where it lies with the confidence asked for."""

    estimate: float
    """The figure of the examples themselves."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two systems on the same examples."""

    difference: float
    """Figure of the first less that of the second."""
    p_value: float
    """How often chance alone would make a difference at least so large, in either direction."""
    interval: Interval | None = None
    """Of the difference, where the test gives one."""


def bootstrap(
    rows: Rows,
    figure: Figure | None = None,
    *,
    method: str = "bca",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The interval of a figure, by drawing as many examples with replacement, `resamples` times.

    `rows` are [N] for a mean, or [N, K] with the `figure` of their sums. `method` "percentile" takes the quantiles of
    the resamples (Efron and Tibshirani 1993, section 13.3); "bca" corrects them for bias and for a spread that changes
    with the figure (section 14.3, equations 14.9 to 14.15). Raises `DataError` for fewer than two examples, and where
    the figure of a resample is no number.
    """
    checks.choose("method", method, ("bca", "percentile"))
    table, of_sums = _table(rows, figure)
    _check(confidence, resamples)
    estimate = float(of_sums(table.sum(0)))
    drawn = _finite(np.concatenate([of_sums(weights @ table) for weights in _draws(len(table), resamples, seed)]))
    if method == "bca":
        return corrected_interval(estimate, drawn, of_sums(table.sum(0) - table), confidence=confidence)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate=estimate, low=float(low), high=float(high))


def corrected_interval(
    estimate: float, drawn: np.ndarray, left_out: np.ndarray, *, confidence: float = 0.95
) -> Interval:
    """The interval "bca" of a figure that was drawn elsewhere, where a row an example would take too much memory.

    `drawn` are the figures of the resamples, and `left_out` those without each of the examples in turn. Raises
    `DataError` where the figure of a resample is no number.
    """
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = np.quantile(_finite(drawn), _corrected(tails, drawn, estimate, left_out))
    return Interval(estimate=estimate, low=float(low), high=float(high))


def proportion(successes: int, count: int, *, confidence: float = 0.95) -> Interval:
    """The interval of a share of right answers (Wilson 1927, "Probable Inference", eq. on p. 210).

    Unlike the bootstrap's, it has a width where all answers are right or all are wrong. Raises ``DataError`` for no
    answer at all.
    """
    checks.at_least_one("count", count)
    _check(confidence, 1)
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    share, shrink = successes / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Interval(estimate=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def mean_of_proportions(successes: Sequence[int], counts: Sequence[int], *, confidence: float = 0.95) -> Interval:
    """The interval of the mean of the groups' shares of right answers: groups count the same, whatever their size.

    What each group may be off, by Wilson's formula within the group, adds up as errors that do not depend on each other
    do (Zou, Huang and Zhang 2009, "A note on confidence interval estimation for a linear function of binomial
    proportions", the method of variance estimates recovery; for two groups Newcombe 1998, "Interval estimation for the
    difference between independent proportions", method 10). So it lies within 0 and 1, has a width where all answers
    are right or all are wrong, and is Wilson's own for one group. For many large groups it is what a bootstrap gives
    that draws within each group.

    Raises ``DataError`` where there is no group, and for a group without answers.
    """
    checks.count(successes, counts, ("numbers of right answers", "sizes of groups"))
    groups = [proportion(right, count, confidence=confidence) for right, count in zip(successes, counts, strict=True)]
    share = math.fsum(group.estimate for group in groups) / len(groups)
    below = math.hypot(*(group.estimate - group.low for group in groups)) / len(groups)
    above = math.hypot(*(group.high - group.estimate for group in groups)) / len(groups)
    return Interval(estimate=share, low=max(0.0, share - below), high=min(1.0, share + above))


def paired_bootstrap(
    first: Rows,
    second: Rows,
    figure: Figure | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Both systems on the same draws of examples (Koehn 2004, "Statistical Significance Tests for MT Evaluation").

    The p-value is the share of resamples whose difference is as far from their mean as the difference seen is from 0
    (Riezler and Maxwell 2005, section 3.2, as in sacreBLEU); the interval is of percentiles.
    """
    mine, theirs, of_sums = _pair(first, second, figure)
    _check(confidence, resamples)
    draws = _draws(len(mine), resamples, seed)
    drawn = _finite(np.concatenate([of_sums(w @ mine) - of_sums(w @ theirs) for w in draws]))
    difference = float(of_sums(mine.sum(0)) - of_sums(theirs.sum(0)))
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Comparison(
        difference=difference,
        p_value=_share(np.abs(drawn - drawn.mean()), difference),
        interval=Interval(estimate=difference, low=float(low), high=float(high)),
    )


def paired_permutation(
    first: Rows, second: Rows, figure: Figure | None = None, *, resamples: int = 10000, seed: int = 0
) -> Comparison:
    """Approximate randomisation (Noreen 1989; Riezler and Maxwell 2005, section 3.1).

    If the systems were alike, their answers to an example could as well be exchanged: each is, with probability 1/2,
    `resamples` times. The p-value is the share of such exchanges that differ as much as what was seen, that included.
    """
    mine, theirs, of_sums = _pair(first, second, figure)
    _check(0.5, resamples)
    chance = np.random.default_rng(seed)
    both, gap = mine.sum(0) + theirs.sum(0), theirs - mine
    drawn = []
    for size in _chunks(len(mine), resamples):
        swapped = mine.sum(0) + chance.integers(0, 2, (size, len(mine))).astype(np.float64) @ gap
        drawn.append(of_sums(swapped) - of_sums(both - swapped))
    difference = float(of_sums(mine.sum(0)) - of_sums(theirs.sum(0)))
    return Comparison(difference=difference, p_value=_share(np.abs(_finite(np.concatenate(drawn))), difference))


def mcnemar(first: Sequence[bool] | np.ndarray, second: Sequence[bool] | np.ndarray) -> Comparison:
    """Whether one of two systems is right more often, by the exact test of McNemar 1947.

    Takes 1 or True for each example that a system has right. Only what one has right and the other wrong tells: if they
    were alike, it would be heads and tails of a fair coin. The difference is that of their accuracies. Raises
    `DataError` for unequal counts and for anything but 0 and 1.
    """
    mine, theirs, _ = _pair(first, second, None)
    right = [part[:, 0] for part in (mine, theirs)]
    if not np.isin(right, (0, 1)).all():
        raise DataError("McNemar's test takes right or wrong", received="other numbers", expected="1 or 0 an example")
    wins, losses = int((right[0] > right[1]).sum()), int((right[0] < right[1]).sum())
    return Comparison(difference=(wins - losses) / len(mine), p_value=_binomial(min(wins, losses), wins + losses))


def _binomial(least: int, trials: int) -> float:
    """Twice the chance of at most `least` heads in `trials` throws of a fair coin; 1 at most."""
    if not trials:
        return 1.0
    k = np.arange(1, least + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((trials - k + 1) / k))]) - trials * math.log(2)
    return min(1.0, 2 * float(np.exp(logs).sum()))


def _table(rows: Rows, figure: Figure | None) -> tuple[np.ndarray, Figure]:
    """[N, K] and the figure of its sums; a mean is made such a figure by counting the examples beside it."""
    table = checks.numbers(rows, "figures of the examples")
    if table.ndim != (1 if figure is None else 2) or len(table) < 2:
        raise DataError(
            "these rows cannot be resampled",
            received=f"an array of shape {table.shape}",
            expected="one number an example, or [N, K] with a figure of their sums; two examples at least",
        )
    if figure is None:
        return np.stack([table, np.ones(len(table))], 1), lambda sums: sums[..., 0] / sums[..., 1]
    return table, figure


def _pair(first: Rows, second: Rows, figure: Figure | None) -> tuple[np.ndarray, np.ndarray, Figure]:
    checks.count(first, second, ("figures of the first system", "figures of the second"))
    mine, of_sums = _table(first, figure)
    return mine, _table(second, figure)[0], of_sums


def _check(confidence: float, resamples: int) -> None:
    checks.at_least_one("resamples", resamples)
    if not 0 < confidence < 1:
        raise DataError("the confidence is no share", received=confidence, expected="above 0 and below 1, such as 0.95")


def _chunks(examples: int, resamples: int) -> Iterator[int]:
    most = max(1, _AT_ONCE // examples)
    for start in range(0, resamples, most):
        yield min(most, resamples - start)


def _draws(examples: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each example is drawn, [some resamples, N] at a time."""
    chance = np.random.default_rng(seed)
    for size in _chunks(examples, resamples):
        drawn = chance.integers(0, examples, (size, examples)) + np.arange(size)[:, None] * examples
        yield np.bincount(drawn.ravel(), minlength=size * examples).reshape(size, examples).astype(np.float64)


def _corrected(tails: np.ndarray, drawn: np.ndarray, estimate: float, left_out: np.ndarray) -> np.ndarray:
    """The quantiles that BCa takes in place of `tails`; `left_out` are the figures without each example in turn."""
    below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2
    edge = 1 / (2 * len(drawn))  # all resamples on one side: the bias is large, not infinite
    bias = _NORMAL.inv_cdf(min(max(below, edge), 1 - edge))
    away = _finite(left_out).mean() - left_out
    largest = np.abs(away).max()
    away = away / largest if largest else away  # the ratio has no unit, and powers of tiny numbers would vanish
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5) if largest else 0.0
    z = bias + np.array([_NORMAL.inv_cdf(tail) for tail in tails])
    return np.array([_NORMAL.cdf(value) for value in bias + z / (1 - acceleration * z)])


def _share(distances: np.ndarray, seen: float) -> float:
    """The share of `distances` that reach what was seen, itself counted (so never 0)."""
    reached = (distances >= abs(seen) * (1 - 1e-9)).sum()  # sums in another order differ in their last digits
    return float((reached + 1) / (len(distances) + 1))


def _finite(figures: np.ndarray) -> np.ndarray:
    if not np.isfinite(figures).all():
        raise DataError(
            "the figure of some resamples is no finite number",
            received=f"{(~np.isfinite(figures)).sum()} of {len(figures)}",
            fix="give it a value where its denominator is 0",
        )
    return figures
