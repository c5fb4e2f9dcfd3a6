"""Accuracy, precision, recall, F1 and MCC against scikit-learn, on labels of GLUE and on any others."""

import csv
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from trivium.errors import DataError
from trivium.evaluation.metrics import accuracy, mcc, precision_recall_f1

LABEL = st.sampled_from(["a", "b", "c"])
PAIRS = st.lists(st.tuples(LABEL, LABEL), min_size=1, max_size=30).map(
    lambda pairs: tuple(map(list, zip(*pairs, strict=True)))
)


@pytest.fixture(scope="module")
def judged(shared_data):
    """CoLA's judgements, and those of a rule that finds most sentences good: as wrong as a weak model."""
    path = shared_data / "unclear-glue" / "CoLA" / "in_domain_dev.tsv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [int(len(row[3]) % 4 > 0 or (row[1] == "1" and len(row[3]) > 40)) for row in rows], [
        int(row[1]) for row in rows
    ]


def compare(predictions, references):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that occur on one side only
        shares = accuracy(predictions, references)
        assert shares["accuracy"] == pytest.approx(theirs.accuracy_score(references, predictions))
        assert shares["balanced_accuracy"] == pytest.approx(theirs.balanced_accuracy_score(references, predictions))
        assert mcc(predictions, references)["mcc"] == pytest.approx(theirs.matthews_corrcoef(references, predictions))
        ours = precision_recall_f1(predictions, references)
        for average in ("micro", "macro", "weighted"):
            figures = theirs.precision_recall_fscore_support(references, predictions, average=average, zero_division=0)
            got = [ours[f"{name}_{average}"] for name in ("precision", "recall", "f1")]
            assert got == pytest.approx(figures[:3])
        table = theirs.precision_recall_fscore_support(references, predictions, zero_division=0)
    assert [tuple(row.values()) for row in ours["per_class"].values()] == [
        pytest.approx(row) for row in zip(*table, strict=True)
    ]


def test_equal_to_scikit_learn_on_judgements(judged):
    compare(*judged)
    assert 0.1 < mcc(*judged)["mcc"] < 0.9


@settings(max_examples=50)
@given(PAIRS)
def test_equal_to_scikit_learn_whatever_is_missing(pairs):
    compare(*pairs)


@given(PAIRS)
def test_identical_labels_score_1(pairs):
    labels = pairs[0]
    assert accuracy(labels, labels) == {"accuracy": 1, "balanced_accuracy": 1}
    assert precision_recall_f1(labels, labels)["f1_macro"] == 1
    assert mcc(labels, labels)["mcc"] == pytest.approx(1 if len(set(labels)) > 1 else 0)


def test_one_class_is_the_positive_one(judged):
    predictions, references = judged
    ours = precision_recall_f1(predictions, references, positive=1)
    assert ours["f1"] == pytest.approx(theirs.f1_score(references, predictions))
    assert ours["precision"] == ours["per_class"][1]["precision"]
    with pytest.raises(DataError, match="never occurs"):
        precision_recall_f1(predictions, references, positive=2)


def test_some_classes_only():
    references, predictions = ["a", "b", "none", "none"], ["a", "none", "none", "b"]
    ours = precision_recall_f1(predictions, references, labels=["a", "b"])
    figures = theirs.precision_recall_fscore_support(references, predictions, labels=["a", "b"], average="micro")
    assert [ours[f"{name}_micro"] for name in ("precision", "recall", "f1")] == pytest.approx(figures[:3])
    assert list(ours["per_class"]) == ["a", "b"]
    with pytest.raises(DataError, match="int and str"):
        precision_recall_f1(predictions, references, labels=[1, 2])


def test_right_and_wrong_by_example():
    assert accuracy([1, 0, 1], [1, 1, 1], per_example=True)["per_example"] == {"accuracy": [1, 0, 1]}


def test_guessing_the_commonest_class_shows():
    references = [1] * 9 + [0]
    figures = accuracy([1] * 10, references) | mcc([1] * 10, references)
    assert figures == {"accuracy": 0.9, "balanced_accuracy": 0.5, "mcc": 0.0}
