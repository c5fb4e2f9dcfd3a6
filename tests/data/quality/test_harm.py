"""The classifier of harmful text: on real tweets (none of them in here), and its counting by hand.

Words that offend are made up, so that this file does not.
"""

import csv
import gzip
import html
import json
import math
import sys

import numpy as np
import pytest

from trivium.data.dedup.lsh import clusters
from trivium.data.dedup.minhash import MinHashConfig, signatures
from trivium.data.quality import harm
from trivium.data.quality.harm import GROUPS, WARNING, HarmClassifier, judge, threshold_for
from trivium.data.quality.limits import KEEP
from trivium.data.splits import sides
from trivium.errors import DataError, Unsupported

pytest.importorskip("sklearn")

HARMFUL = [
    f"you {word} {other} go away {number}" for number in range(10) for word in ("zorb", "zorbs") for other in "abc"
]
HARMLESS = [
    f"the {word} is {other} today {number}" for number in range(10) for word in ("cat", "sun") for other in "abc"
]


@pytest.fixture(scope="module")
def small() -> HarmClassifier:
    return HarmClassifier.train(HARMFUL + HARMLESS, ["offensive"] * len(HARMFUL) + ["neither"] * len(HARMLESS))


@pytest.fixture(scope="module")
def tweets(shared_data):
    """Training texts and labels, held-out texts and labels; near-copies are on one side."""
    path = shared_data / "hate_offensive" / "labeled_data.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:7000]
    texts = [html.unescape(row["tweet"]) for row in rows]
    labels = [("hate", "offensive", "neither")[int(row["class"])] for row in rows]
    config = MinHashConfig()
    held = sides([str(number) for number in range(len(texts))], clusters(signatures(texts, config), config), 0.4)

    def of(side: bool) -> tuple[list[str], list[str]]:
        at = np.flatnonzero(held == side)
        return [texts[i] for i in at], [labels[i] for i in at]

    return *of(False), *of(True)


@pytest.fixture(scope="module")
def classifier(tweets) -> HarmClassifier:
    return HarmClassifier.train(tweets[0], tweets[1])


@pytest.fixture(scope="module")
def report(classifier, tweets):
    return classifier.report(tweets[2], tweets[3])


def test_held_out_tweets_are_told_apart(report):
    figures = {found.label: found for found in report.classes}
    assert sum(found.count for found in report.classes) == report.overall.texts > 2000
    assert figures["offensive"].f1 > 0.88
    assert figures["neither"].f1 > 0.75
    assert figures["hate"].f1 > 0.15  # the hard one: people disagree on it too
    assert report.calibration_error < 0.05


def test_the_threshold_reaches_the_precision_and_costs_little(report, classifier, tweets):
    assert report.precision >= 0.9
    assert report.recall > 0.98
    higher = classifier.report(tweets[2], tweets[3], threshold=0.95)
    assert higher.precision > 0.98 and higher.recall < report.recall
    # Where harm is rare the same threshold is wrong most of the time.
    assert report.precision_at(0.01) < 0.1 < higher.precision_at(0.01)


def test_the_report_says_whom_it_silences(report):
    table = report.table()
    assert all(name in table for name in GROUPS) and table.endswith(WARNING)
    dialect = next(group for group in report.groups if group.name == "African-American English")
    assert dialect.texts > 100
    assert report.equality_difference > 0


def test_saved_and_loaded_it_is_the_same_with_numpy_alone(classifier, tweets, tmp_path, monkeypatch):
    expected = classifier.probabilities(tweets[2][:200])
    classifier.save(tmp_path)
    for name in ("sklearn", "scipy", "sklearn.linear_model", "scipy.sparse"):
        monkeypatch.setitem(sys.modules, name, None)
    again = HarmClassifier.load(tmp_path)
    assert (again.labels, again.harmful) == (("hate", "neither", "offensive"), ("hate", "offensive"))
    assert np.array_equal(again.probabilities(tweets[2][:200]), expected)
    with pytest.raises(Unsupported, match="scikit-learn"):
        HarmClassifier.train(HARMFUL, ["offensive"] * len(HARMFUL))


def test_inference_equals_that_of_scikit_learn(classifier, tweets):
    """The same features through scikit-learn's own arithmetic, with the weights put back into it."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import normalize

    texts = tweets[2][:100]
    rows, buckets, counts = harm._features(texts)
    matrix = csr_matrix((counts, (rows, buckets)), shape=(len(texts), len(classifier.rarity)))
    matrix = normalize(matrix.multiply(classifier.rarity[None, :]).tocsr())
    theirs = LogisticRegression()
    theirs.classes_ = np.array(classifier.labels)
    theirs.coef_ = (classifier.weights / classifier.rarity[:, None]).T.astype(float)
    theirs.intercept_ = classifier.bias.astype(float)
    assert np.abs(theirs.predict_proba(matrix) - classifier.probabilities(texts)).max() < 1e-5


def test_probabilities_add_up_and_do_not_depend_on_company(small):
    texts = [*HARMFUL[:3], *HARMLESS[:3], "", "  ", "\ud800", "@someone https://example.org 123"]
    together = small.probabilities(texts)
    assert together.sum(axis=1) == pytest.approx(np.ones(len(texts)))
    assert np.array_equal(together, np.concatenate([small.probabilities([text]) for text in texts]))
    assert small.probabilities([]).shape == (0, 2)


def test_names_addresses_numbers_and_case_do_not_count(small):
    one, other = "@anna you ZORB 12 https://a.example", "@bernd  you zorb 99 https://b.example/c"
    assert small.probability(one) == small.probability(other)


def test_a_long_text_has_the_mean_of_its_pieces(small):
    harmless, harmful = "the cat is here today " * 200, "you zorb go away now " * 200
    low, high = small.probability(harmless), small.probability(harmful)
    assert low < 0.2 and high > 0.8
    assert small.probability(harmless + harmful) == pytest.approx((low + high) / 2, abs=0.1)
    assert "".join(harm._pieces(harmless)).replace(" ", "") == harmless.replace(" ", "")
    assert max(map(len, harm._pieces("x" * 5000))) <= 400
    assert small.probability("") == 0.0


def test_large_batches_are_the_same_as_small_ones(small, monkeypatch):
    texts = HARMFUL + HARMLESS
    expected = small.probabilities(texts)
    monkeypatch.setattr(harm, "_BATCH_CHARACTERS", 100)
    assert np.array_equal(small.probabilities(texts), expected)
    again = HarmClassifier.train(texts, ["offensive"] * len(HARMFUL) + ["neither"] * len(HARMLESS))
    assert np.array_equal(again.rarity, small.rarity) and np.array_equal(again.weights, small.weights)


def test_a_hostile_line(small):
    assert math.isfinite(small.probability("@" * 300_000)) and math.isfinite(small.probability("http://" * 50_000))


def test_order_of_words_and_letters_is_seen():
    texts = ["ab cd", "cd ab", "ba cd", "abcd"]
    found = [frozenset(harm._features([text])[1].tolist()) for text in texts]
    assert len(set(found)) == 4


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
    report = small.report(
        texts, labels, {"women": ("woman", "women"), "age": ("old",), "none": ("nobody",)}, threshold=0.5
    )
    women, age, none = report.groups
    assert (women.texts, women.flagged, women.harmless, women.wrongly_flagged) == (2, 1, 2, 1)
    assert women.false_positive_rate == 0.5 and age.false_positive_rate == 0 and math.isnan(none.false_positive_rate)
    assert report.overall.false_positive_rate == 0.25
    assert report.equality_difference == pytest.approx(0.25 + 0.25)
    assert (report.precision, report.recall) == (0.5, 1.0)
    assert report.precision_at(0.2) == pytest.approx(0.2 / (0.2 + 0.25 * 0.8))


def test_the_rule_in_the_funnel(small):
    assert judge("the sun is here today", small, 0.5) == KEEP
    verdict = judge("you zorb go away", small, 0.5)
    assert verdict.rule == "harmful text" and verdict.detail.startswith("probability 0.")


@pytest.mark.parametrize(
    ("texts", "labels"), [(["a"], ["offensive"]), (["a", "b"], ["x", "y"]), (["a", "b"], ["hate"]), ([], [])]
)
def test_labels_that_teach_nothing_are_refused(texts, labels):
    with pytest.raises(DataError, match="cannot be trained"):
        HarmClassifier.train(texts, labels)


def test_a_report_needs_both_kinds(small):
    with pytest.raises(DataError, match="cannot be measured"):
        small.report(["a"], ["neither"])


@pytest.mark.parametrize(
    "change", [{"labels": None}, {"harmful": ["other"]}, {"format": "x"}, {"labels": ["a", "b", "c"]}]
)
def test_a_damaged_classifier_is_a_clear_error(small, tmp_path, change):
    small.save(tmp_path)
    about = tmp_path / "model.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | change))
    with pytest.raises(DataError, match="does not hold a model"):
        HarmClassifier.load(tmp_path)
