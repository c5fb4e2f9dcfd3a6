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
    if len(confidence) % bins == 0:
        adaptive = [len(part) / len(right) * abs(right[part].mean() - confidence[part].mean()) for part in parts]
        assert result["adaptive_ece"] == pytest.approx(sum(adaptive), abs=1e-12)
    assert result["brier"] == pytest.approx(brier_score_loss(right, confidence, labels=[0, 1]))
    assert sum(row["count"] for row in result["bins"]) == len(right)
    assert 0 <= result["adaptive_ece"] <= 1 and 0 <= result["ece"] <= 1


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
