"""The measuring of the classifier: on real tweets (none of them in here), and its counting by hand."""

import math

import numpy as np
import pytest

from trivium.data.quality.by_group import GROUPS, WARNING
from trivium.data.quality.harm_report import measured, threshold_for
from trivium.errors import DataError


@pytest.fixture(scope="module")
def report(classifier, tweets):
    return measured(classifier, tweets[2], tweets[3])


def test_held_out_tweets_are_told_apart(report):
    figures = {found.label: found for found in report.classes}
    assert sum(found.count for found in report.classes) == report.removals.overall.texts > 2000
    assert figures["offensive"].f1 > 0.88
    assert figures["neither"].f1 > 0.75
    assert figures["hate"].f1 > 0.15  # the hard one: people disagree on it too
    assert report.calibration_error < 0.05


def test_the_threshold_reaches_the_precision_and_costs_little(report, classifier, tweets):
    assert report.removals.precision >= 0.9
    assert report.removals.recall > 0.98
    higher = measured(classifier, tweets[2], tweets[3], threshold=0.95)
    assert higher.removals.precision > 0.98 and higher.removals.recall < report.removals.recall
    # Where harm is rare the same threshold is wrong most of the time.
    assert report.removals.precision_at(0.01) < 0.1 < higher.removals.precision_at(0.01)


def test_the_report_says_whom_it_silences(report):
    table = report.table()
    assert all(name in table for name in GROUPS) and table.endswith(WARNING)
    dialect = next(group for group in report.removals.groups if group.name == "African-American English")
    assert dialect.texts > 100
    assert report.removals.equality_difference > 0


def test_the_threshold_by_hand():
    scores = np.array([0.9, 0.8, 0.8, 0.7, 0.2])
    truth = np.array([True, True, False, True, False])
    assert threshold_for(scores, truth, 1.0) == 0.9  # not 0.8: equal scores are flagged together
    assert threshold_for(scores, truth, 0.7) == 0.7
    assert threshold_for(scores, truth, 0.6) == 0.2
    assert threshold_for(scores, ~truth, 0.9) is None


def test_the_counting_by_group_by_hand(small):
    texts = [
        "a zorb zorb woman",
        "you zorb go away",
        "the women is sunny today",
        "the cat is here today",
        "old sun today",
    ]
    labels = ["neither", "offensive", "neither", "neither", "neither"]
    flagged = small.harm(texts) >= 0.5
    assert flagged.tolist() == [True, True, False, False, False]
    report = measured(
        small, texts, labels, {"women": ("woman", "women"), "age": ("old",), "none": ("nobody",)}, threshold=0.5
    )
    women, age, none = report.removals.groups
    assert (women.texts, women.removed, women.good, women.wrongly_removed) == (2, 1, 2, 1)
    assert women.false_positive_rate == 0.5 and age.false_positive_rate == 0 and math.isnan(none.false_positive_rate)
    assert report.removals.overall.false_positive_rate == 0.25
    assert report.removals.equality_difference == pytest.approx(0.25 + 0.25)
    assert (report.removals.precision, report.removals.recall) == (0.5, 1.0)
    assert report.removals.precision_at(0.2) == pytest.approx(0.2 / (0.2 + 0.25 * 0.8))


def test_a_report_needs_both_kinds(small):
    with pytest.raises(DataError, match="cannot be measured"):
        measured(small, ["a"], ["neither"])
