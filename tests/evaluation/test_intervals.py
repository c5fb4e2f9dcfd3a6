"""Intervals and paired tests: against SciPy, by hand, and by how often they are right."""

import gzip
import tracemalloc

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trivium.errors import DataError
from trivium.evaluation import metrics
from trivium.evaluation.intervals import (
    bootstrap,
    mcnemar,
    mean_of_proportions,
    paired_bootstrap,
    paired_permutation,
    proportion,
)
from trivium.evaluation.metrics.bleu import bleu_counts, bleu_of


def skewed(size: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).exponential(size=size)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_equal_to_scipy_up_to_the_draws(method):
    values = skewed()
    ours = bootstrap(values, method=method, resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, method=method, n_resamples=20_000, rng=np.random.default_rng(1))
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.estimate == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_bca_of_a_figure_that_is_no_mean():
    x = skewed()
    pairs = np.stack([x, x**2, np.ones_like(x)], 1)

    def deviation(sums):
        return np.sqrt(sums[..., 1] / sums[..., 2] - (sums[..., 0] / sums[..., 2]) ** 2)

    ours = bootstrap(pairs, deviation, resamples=20_000, confidence=0.9)
    theirs = stats.bootstrap(
        (x,), np.std, method="BCa", n_resamples=20_000, confidence_level=0.9, rng=np.random.default_rng(1)
    )
    assert ours.estimate == pytest.approx(x.std())
    ends = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((ends.low, ends.high), abs=0.03 * (ends.high - ends.low))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_nine_intervals_in_ten_hold_the_truth(method):
    held = 0
    for seed in range(200):
        interval = bootstrap(skewed(40, seed), method=method, confidence=0.9, resamples=400, seed=seed)
        held += interval.low <= 1 <= interval.high  # the mean of the exponential distribution
    assert 0.82 <= held / 200 <= 0.96


@settings(max_examples=30)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_the_interval_lies_within_the_values(values):
    for method in ("percentile", "bca"):
        interval = bootstrap(values, method=method, resamples=100)
        assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9


def test_one_seed_one_result():
    assert bootstrap(skewed(), seed=3) == bootstrap(skewed(), seed=3) != bootstrap(skewed(), seed=4)


def test_all_right_is_all_right():
    interval = bootstrap([1.0] * 50)
    assert (interval.estimate, interval.low, interval.high) == (1, 1, 1)


def test_many_resamples_do_not_need_much_memory():
    tracemalloc.start()
    interval = bootstrap(skewed(20_000), resamples=1000)  # 20 million draws, taken a few at a time
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / np.sqrt(20_000), rel=0.15)
    assert most_bytes < 100e6  # 160 MB for the draws alone, were they held together


@pytest.fixture(scope="module")
def translations(shared_data):
    """References, a system that drops the last words, and one that drops more."""
    with gzip.open(shared_data / "nc-multi30k" / "val.en.gz", "rt", encoding="utf-8") as file:
        references = file.read().splitlines()[:200]
    good = [" ".join(line.split()[: -1 - i % 3]) for i, line in enumerate(references)]
    worse = [" ".join(line.split()[: -1 - i % 5]) for i, line in enumerate(references)]
    return references, good, worse


def test_bleu_from_counts_like_sacrebleu(translations):
    references, good, _ = translations
    interval = bootstrap(bleu_counts(good, references), bleu_of(), method="percentile", resamples=1000)
    theirs = sacrebleu.BLEU().corpus_score(good, [references], n_bootstrap=1000)
    assert interval.estimate == pytest.approx(theirs.score)
    assert (interval.high - interval.low) / 2 == pytest.approx(theirs._ci, rel=0.15)
    for method in ("percentile", "bca"):
        wide = bootstrap(bleu_counts(good, references), bleu_of(), method=method, confidence=0.99)
        assert wide.low < interval.low < theirs.score < interval.high < wide.high


def test_two_systems_on_the_same_sentences(translations):
    references, good, worse = translations
    rows = [bleu_counts(texts, references) for texts in (good, worse)]
    expected = metrics.bleu(good, references)["bleu"] - metrics.bleu(worse, references)["bleu"]
    for test in (paired_bootstrap, paired_permutation):
        found = test(*rows, bleu_of(), resamples=1000)
        assert found.difference == pytest.approx(expected)
        assert found.p_value < 0.01
        assert test(*rows[::-1], bleu_of(), resamples=1000).difference == pytest.approx(-expected)
        same = test(rows[0], rows[0], bleu_of(), resamples=100)
        assert (same.difference, same.p_value) == (0, 1)
    interval = paired_bootstrap(*rows, bleu_of()).interval
    assert 0 < interval.low < expected < interval.high


def test_the_permutation_test_of_a_mean_is_that_of_scipy():
    chance = np.random.default_rng(0)
    first, second = chance.normal(0.3, 1, (2, 12)) * [[1], [0.8]] + [[0.4], [0]]
    theirs = stats.permutation_test(
        (first, second), lambda a, b, axis: (a - b).mean(axis), permutation_type="samples", n_resamples=np.inf
    )
    ours = paired_permutation(first, second, resamples=20_000)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.015)


@pytest.mark.parametrize("test", [paired_bootstrap, paired_permutation])
def test_chance_is_never_ruled_out(test):
    """What was seen counts as one of the resamples, so that no p-value is 0 (Phipson and Smyth 2010)."""
    chance = np.random.default_rng(0)
    first, second = chance.normal([[5], [0]], 0.1, (2, 40))
    assert test(first, second, resamples=99).p_value == 1 / 100
    assert test(first, second, resamples=999).p_value == 1 / 1000


@pytest.mark.parametrize("test", [paired_bootstrap, paired_permutation])
def test_equal_systems_seldom_differ(test):
    alarms = 0
    for seed in range(200):
        first, second = np.random.default_rng(seed).normal(size=(2, 40))
        alarms += test(first, second, resamples=300, seed=seed).p_value < 0.1
    assert 0.04 <= alarms / 200 <= 0.17


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=200))
def test_mcnemar_is_the_binomial_test(pairs):
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    wins, losses = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    found = mcnemar(first, second)
    assert found.p_value == pytest.approx(expected)
    assert found.difference == pytest.approx((wins - losses) / len(pairs))


def test_mcnemar_of_very_many():
    first = np.arange(100_000) % 2
    assert mcnemar(first, 1 - first).p_value == 1
    assert mcnemar(np.ones(100_000), first).p_value < 1e-300


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(DataError, match="two examples at least"):
        bootstrap([1.0])
    with pytest.raises(DataError, match=r"shape \(2, 2\)"):
        bootstrap(np.ones((2, 2)))
    with pytest.raises(DataError, match="3 figures of the first system, 2 figures of the second"):
        paired_bootstrap([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(DataError, match="no finite number"):
        bootstrap([1.0, float("nan")])
    with pytest.raises(DataError, match="confidence"):
        bootstrap([1.0, 2.0], confidence=95)
    with pytest.raises(DataError, match="bca, percentile"):
        bootstrap([1.0, 2.0], method="normal")
    with pytest.raises(DataError, match="resamples"):
        paired_permutation([1.0, 2.0], [1.0, 2.0], resamples=0)
    with pytest.raises(DataError, match="right or wrong"):
        mcnemar(np.array([0.5, 1]), np.array([1, 1]))
    with pytest.raises(DataError, match="figure of some resamples"), np.errstate(invalid="ignore"):
        bootstrap(np.array([[0.0, 0.0], [1.0, 1.0]]), lambda sums: sums[..., 0] / sums[..., 1])


def test_wilson_keeps_a_width_at_the_ends() -> None:
    none, every, half = proportion(0, 10), proportion(10, 10), proportion(50, 100)
    # Newcombe 1998, table I, method 3: 81 of 263, and 0 of 20.
    assert (proportion(81, 263).low, proportion(81, 263).high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (proportion(0, 20).low, proportion(0, 20).high) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert (none.low, every.high) == pytest.approx((0, 1)) and none.high > 0.2 and every.low < 0.8
    assert half.low + half.high == pytest.approx(1)
    with pytest.raises(DataError):
        proportion(0, 0)


def drawn_within_groups(successes: list[int], counts: list[int], resamples: int = 20_000) -> np.ndarray:
    """Means of the groups' shares where answers are drawn with replacement, each from its own group."""
    chance, sizes = np.random.default_rng(0), np.array(counts)
    return (chance.binomial(sizes, np.array(successes) / sizes, (resamples, len(sizes))) / sizes).mean(1)


@pytest.mark.parametrize(
    ("successes", "counts"),
    [([700, 900, 60], [1000, 1000, 100]), ([30, 180], [60, 200]), ([65, 70, 90, 150, 40], [100, 100, 120, 300, 50])],
)
def test_groups_are_a_bootstrap_within_each(successes: list[int], counts: list[int]) -> None:
    found, drawn = mean_of_proportions(successes, counts), drawn_within_groups(successes, counts)
    assert found.estimate == pytest.approx(np.mean(np.array(successes) / counts))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_one_group_is_wilson() -> None:
    for right in (0, 3, 10):
        one, wilson = mean_of_proportions([right], [10]), proportion(right, 10)
        assert (one.estimate, one.low, one.high) == pytest.approx((wilson.estimate, wilson.low, wilson.high))
    with pytest.raises(DataError):
        mean_of_proportions([], [])
    with pytest.raises(DataError):
        mean_of_proportions([1, 0], [2, 0])


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(any), min_size=1, max_size=8))
def test_a_mean_of_shares_lies_between_0_and_1(groups: list[tuple[int, int]]) -> None:
    found = mean_of_proportions([right for right, _ in groups], [right + wrong for right, wrong in groups])
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.high - found.low > 0.01, "not even where all are right or all are wrong is it sure"


@pytest.mark.parametrize("shares", [(0.5, 0.7, 0.9), (0.95, 0.99, 0.6)])
def test_nineteen_intervals_in_twenty_hold_the_mean_of_shares(shares: tuple[float, ...]) -> None:
    chance, sizes = np.random.default_rng(1), [20, 100, 30]
    drawn = [mean_of_proportions(chance.binomial(sizes, shares).tolist(), sizes) for _ in range(500)]
    assert 0.92 <= np.mean([interval.low <= np.mean(shares) <= interval.high for interval in drawn]) <= 0.99
