"""Calibration by hand, by the definition, and against scikit-learn."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from trivium.errors import DataError
from trivium.evaluation.metrics import calibration

SURE = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60)


def test_by_hand():
    result = calibration([0.95, 0.95, 0.65, 0.65], [1, 0, 1, 1], bins=10)
    assert result["ece"] == pytest.approx((0.45 + 0.35) / 2)
    assert result["accuracy"] == 0.75 and result["confidence"] == pytest.approx(0.8)
    assert [(row["count"], row["accuracy"]) for row in result["bins"]] == [(2, 1.0), (2, 0.5)]
    assert (result["bins"][0]["low"], result["bins"][0]["high"]) == pytest.approx((0.6, 0.7))


@given(SURE, st.integers(1, 20))
def test_as_defined(pairs, bins):
    confidence, right = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    result = calibration(confidence, right.astype(int), bins=bins)
    expected = 0.0
    edges = np.linspace(0, 1, bins + 1)
    for index, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (confidence > low) & (confidence <= high) | ((confidence == 0) & (index == 0))
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert result["ece"] == pytest.approx(expected, abs=1e-12)
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    if len(confidence) % bins == 0 and len(set(confidence)) == len(confidence):
        adaptive = [len(part) / len(right) * abs(right[part].mean() - confidence[part].mean()) for part in parts]
        assert result["adaptive_ece"] == pytest.approx(sum(adaptive), abs=1e-12)
    assert result["brier"] == pytest.approx(brier_score_loss(right, confidence, labels=[0, 1]))
    assert sum(row["count"] for row in result["bins"]) == len(right)
    assert 0 <= result["adaptive_ece"] <= 1 and 0 <= result["ece"] <= 1


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    rows = calibration([0.0, 0.25, 0.5, 0.75, 1.0], [0, 1, 1, 1, 1], bins=4)["bins"]
    assert [(row["low"], row["high"], row["count"]) for row in rows] == [
        (0.0, 0.25, 2),
        (0.25, 0.5, 1),
        (0.5, 0.75, 1),
        (0.75, 1.0, 1),
    ]


@given(st.lists(st.tuples(st.sampled_from([0, 0.1, 0.3, 0.7, 1]), st.integers(0, 1)), min_size=2), st.randoms())
def test_the_order_of_the_examples_does_not_matter(pairs, chance):
    for bins in (1, 2, 5):
        before = calibration(*zip(*pairs, strict=True), bins=bins)
        shuffled = chance.sample(pairs, len(pairs))
        after = calibration(*zip(*shuffled, strict=True), bins=bins)
        for name in ("ece", "adaptive_ece", "brier", "accuracy", "confidence"):
            assert after[name] == pytest.approx(before[name], abs=1e-12)


def test_equal_confidences_are_not_parted():
    # Half of them right: a bin of the first two would be too timid and one of the last two too bold.
    assert calibration([0.7] * 4, [1, 1, 0, 0], bins=2)["adaptive_ece"] == pytest.approx(0.2)
    # Two bins of two, the lower one 0.1 and 0.5: 0.5 has the middle of ranks 1 to 2, which belongs to the lower bin.
    assert calibration([0.1, 0.5, 0.5, 0.9], [0, 1, 1, 1], bins=2)["adaptive_ece"] == pytest.approx((0.9 + 0.1) / 4)


def test_probabilities_of_several_classes():
    chance = np.random.default_rng(0)
    probabilities = chance.dirichlet([1.0, 1.0, 1.0], 2000)
    # Drawn from the probabilities themselves: as well calibrated as can be.
    true = (probabilities.cumsum(1) < chance.random((2000, 1))).sum(1)
    result = calibration(probabilities, true)
    assert result["ece"] < 0.05 and result["adaptive_ece"] < 0.05
    assert result["brier"] == pytest.approx(brier_score_loss(true, probabilities, scale_by_half=False))
    sharper = probabilities**4 / (probabilities**4).sum(1, keepdims=True)
    assert calibration(sharper, true)["ece"] > 0.1


def test_what_is_no_probability_is_refused():
    with pytest.raises(DataError, match="softmax"):
        calibration([[2.0, -1.0]], [0])
    with pytest.raises(DataError, match="rows that sum"):
        calibration([[0.5, 0.2]], [0])
    with pytest.raises(DataError, match="0 to 1"):
        calibration([0.5], [2])
    with pytest.raises(DataError, match="no finite number"):
        calibration([float("nan")], [1])
    with pytest.raises(DataError, match="bins"):
        calibration([0.5], [1], bins=0)
