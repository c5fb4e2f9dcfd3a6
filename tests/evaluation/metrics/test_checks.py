"""Bad input is refused with what was received, what would be right, and where."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from trivium.errors import DataError
from trivium.evaluation import metrics
from trivium.evaluation.metrics import checks

OF_TEXTS = [
    metrics.rouge,
    metrics.bleu,
    metrics.sentence_bleu,
    metrics.chrf,
    metrics.exact_match,
    metrics.f1,
    metrics.accuracy,
    metrics.mcc,
    metrics.precision_recall_f1,
]
OF_NUMBERS = [metrics.correlation, metrics.calibration]
OF_LISTS = [metrics.entity_f1, metrics.ndcg, metrics.mrr]
ALL = [*OF_TEXTS, *OF_NUMBERS, *OF_LISTS]


@pytest.mark.parametrize(
    ("metric", "one"),
    [*((m, "a") for m in OF_TEXTS), *((m, 1) for m in OF_NUMBERS), *((m, ["O"]) for m in OF_LISTS)],
)
def test_unequal_counts_are_refused(metric, one):
    with pytest.raises(DataError, match="2 predictions, 1 references"):
        metric([one, one], [one])


@pytest.mark.parametrize("metric", ALL)
def test_nothing_to_score_is_refused(metric):
    with pytest.raises(DataError, match="nothing to score"):
        metric([], [])


@pytest.mark.parametrize("metric", OF_TEXTS)
def test_one_text_is_no_list_of_texts(metric):
    with pytest.raises(DataError, match="are no list"):
        metric("abc", ["a", "b", "c"])


@pytest.mark.parametrize(
    "metric",
    [metrics.distinct, metrics.distinct_texts, metrics.repetition, metrics.self_bleu, metrics.pooled_self_bleu],
)
def test_sets_of_texts_are_refused_likewise(metric):
    with pytest.raises(DataError, match="nothing to score"):
        metric([])
    with pytest.raises(DataError, match="are no list"):
        metric("abc")


def test_text_labels_are_never_number_labels():
    with pytest.raises(DataError, match="int and str"):
        metrics.accuracy(["1", "0"], [1, 0])


def test_numpy_arrays_are_lists():
    assert metrics.accuracy(np.array([1, 0]), np.array([1, 1]))["accuracy"] == 0.5
    assert metrics.mcc(np.array(["a", "b"]), np.array(["a", "b"])) == {"mcc": 1.0}


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_no_number_is_named_with_its_place(wrong):
    with pytest.raises(DataError, match="no finite number") as caught:
        metrics.correlation([0.0, wrong, 1.0], [1.0, 2.0, 3.0])
    assert caught.value.received == f"{wrong} at 1"


def test_a_reference_list_without_a_text_is_refused():
    with pytest.raises(DataError, match="reference of example 1"):
        checks.texts(["a", "b"], [["a"], []])


# Types are checked by the test runner before a function sees them, so what it says of wrong ones is seen outside.
_WRONG_TYPES = """
import json
from trivium.errors import DataError
from trivium.evaluation import metrics, intervals

def message(work):
    try:
        work()
    except DataError as error:
        return str(error)

print(json.dumps([message(work) for work in (
    lambda: metrics.rouge(["a", None], ["a", "b"]),
    lambda: metrics.rouge(["a"], [7]),
    lambda: metrics.bleu(["a"], [["a", 5]]),
    lambda: metrics.f1([1, 0], [1, 0]),
    lambda: metrics.accuracy([0.5], [1]),
    lambda: metrics.mcc(["a", None], ["a", "b"]),
    lambda: metrics.correlation(["x"], [1.0]),
    lambda: metrics.calibration(["high"], [1]),
    lambda: metrics.entity_f1([[None]], [["O"]]),
    lambda: metrics.ndcg(["abc"], [["a"]]),
    lambda: metrics.ndcg([["a"]], ["a"]),
    lambda: metrics.ndcg([["a"]], [["a"]], k=2.5),
    lambda: metrics.accuracy(iter([1]), [1]),
    lambda: intervals.bootstrap([0.0, None]),
)]))
"""


def test_wrong_types_are_refused_in_words(repository):
    done = subprocess.run(
        [sys.executable, "-c", _WRONG_TYPES], capture_output=True, text=True, check=True, cwd=repository, timeout=60
    )
    messages = json.loads(done.stdout)
    assert all(messages), messages
    assert "example 1" in messages[0] and "None" in messages[0] and "a text" in messages[0]
    assert "precision_recall_f1" in messages[3]
    assert "0.5" in messages[4]
    assert "generator" in messages[12] or "iterator" in messages[12]


def test_the_import_is_light(repository):
    code = "import sys, trivium.evaluation.metrics, trivium.evaluation.intervals; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository, timeout=60
    )
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"torch", "sacrebleu", "sklearn", "scipy", "nltk", "rouge_score"})
    assert {name for name in loaded if name.startswith("trivium.data.")} <= {"trivium.data.spans"}
