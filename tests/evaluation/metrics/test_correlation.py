"""Correlations against SciPy, with ties and without."""

import csv

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from trivium.errors import DataError
from trivium.evaluation.metrics import correlation

VALUES = st.lists(st.tuples(*[st.integers(-3, 3) | st.floats(-1e6, 1e6)] * 2), min_size=2, max_size=40)


def compare(x, y):
    ours = correlation(x, y)
    assert ours["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert ours["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    assert ours["kendall"] == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-9)


def test_equal_to_scipy_on_likeness_of_sentences(shared_data):
    path = shared_data / "unclear-glue" / "STS-B" / "dev.tsv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    scores = [float(row["score"]) for row in rows]
    sets = [[set(row[name].lower().split()) for name in ("sentence1", "sentence2")] for row in rows]
    overlap = [len(a & b) / len(a | b) for a, b in sets]
    compare(overlap, scores)
    assert correlation(overlap, scores)["spearman"] > 0.5


@given(VALUES)
def test_equal_to_scipy(pairs):
    x, y = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    # SciPy warns of what is nearly constant, and both then work with rounding alone.
    assume(np.ptp(x) > 1e-6 * max(1, np.abs(x).max()) and np.ptp(y) > 1e-6 * max(1, np.abs(y).max()))
    compare(x, y)


def test_more_values_than_the_sort_takes_at_once():
    chance = np.random.default_rng(0)
    compare(chance.integers(0, 50, 5000), chance.integers(0, 50, 5000))


@given(st.lists(st.integers(-1000, 1000), min_size=2, unique=True))
def test_only_the_order_counts_for_ranks(values):
    x = np.array(values, dtype=float)
    ours = correlation(x, np.exp(x / 1000))
    assert ours["spearman"] == pytest.approx(1) and ours["kendall"] == pytest.approx(1)
    assert correlation(x, -x)["pearson"] == pytest.approx(-1)


def test_constants():
    assert correlation([1, 1, 1], [1, 2, 3]) == {"pearson": 0, "spearman": 0, "kendall": 0}
    with pytest.raises(DataError, match="constant"):
        correlation([1, 2, 3], [2, 2, 2])
    with pytest.raises(DataError, match="one number an example"):
        correlation(np.ones((2, 2)), np.ones((2, 2)))


def test_values_near_the_ends_of_float64():
    assert correlation([1e-200, 2e-200, 4e-200], [1e200, 2e200, 4e200])["pearson"] == pytest.approx(1)
