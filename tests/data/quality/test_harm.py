"""The classifier of harmful text, on real tweets: none of them stands in here."""

import json
import math
import sys

import numpy as np
import pytest

from tests.data.quality.harmful_texts import HARMFUL, HARMLESS
from trivium.data.quality import harm, harm_features
from trivium.data.quality.harm import HarmClassifier, judge
from trivium.data.quality.limits import KEEP
from trivium.errors import DataError, Unsupported

pytest.importorskip("sklearn")


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
    rows, buckets, counts = harm_features.features(texts)
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
    monkeypatch.setattr(harm_features, "_BATCH_CHARACTERS", 100)
    assert np.array_equal(small.probabilities(texts), expected)
    again = HarmClassifier.train(texts, ["offensive"] * len(HARMFUL) + ["neither"] * len(HARMLESS))
    assert np.array_equal(again.rarity, small.rarity) and np.array_equal(again.weights, small.weights)


def test_a_hostile_line(small):
    assert math.isfinite(small.probability("@" * 300_000)) and math.isfinite(small.probability("http://" * 50_000))


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


@pytest.mark.parametrize(
    "change", [{"labels": None}, {"harmful": ["other"]}, {"format": "x"}, {"labels": ["a", "b", "c"]}]
)
def test_a_damaged_classifier_is_a_clear_error(small, tmp_path, change):
    small.save(tmp_path)
    about = tmp_path / "model.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | change))
    with pytest.raises(DataError, match="does not hold a model"):
        HarmClassifier.load(tmp_path)
