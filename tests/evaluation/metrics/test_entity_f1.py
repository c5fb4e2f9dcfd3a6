"""Strict F1 of entities against seqeval, on tweets and on any tags."""

import random
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2, IOBES

from trivium.data.spans import spans
from trivium.errors import DataError
from trivium.evaluation.intervals import bootstrap
from trivium.evaluation.metrics import entity_f1
from trivium.evaluation.metrics.entity_f1 import entity_counts, f1_of

THEIRS = {"iob2": IOB2, "iobes": IOBES}


def tags(scheme: str) -> st.SearchStrategy[str]:
    letters = "BI" if scheme == "iob2" else "BIES"
    return st.sampled_from(["O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "creative-work"))])


def pairs(scheme: str) -> st.SearchStrategy[list]:
    return st.lists(st.lists(st.tuples(tags(scheme), tags(scheme)), min_size=1, max_size=12), min_size=1, max_size=4)


def compare(predictions, references, scheme):
    ours = entity_f1(predictions, references, scheme=scheme)
    if not any(spans(sentence, scheme=scheme) for sentence in (*predictions, *references)):
        assert ours["f1"] == 0 and ours["per_type"] == {}  # where seqeval fails
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = classification_report(
            references, predictions, mode="strict", scheme=THEIRS[scheme], output_dict=True, zero_division=0
        )
    for name in ("precision", "recall", "f1"):
        key = "f1-score" if name == "f1" else name
        assert ours[name] == pytest.approx(theirs["micro avg"][key])
        assert ours[f"{name}_macro"] == pytest.approx(theirs["macro avg"][key])
        assert ours[f"{name}_weighted"] == pytest.approx(theirs["weighted avg"][key])
        for kind, figures in ours["per_type"].items():
            assert figures[name] == pytest.approx(theirs[kind][key])
            assert figures["support"] == theirs[kind]["support"]


@given(pairs("iob2"))
def test_equal_to_seqeval_on_iob2(sentences):
    compare(*([[pair[side] for pair in words] for words in sentences] for side in (0, 1)), "iob2")


@given(pairs("iobes"))
def test_equal_to_seqeval_on_iobes(sentences):
    compare(*([[pair[side] for pair in words] for words in sentences] for side in (0, 1)), "iobes")


def test_equal_to_seqeval_on_tweets(shared_data):
    text = (shared_data / "ner_wnut17" / "emerging.dev.conll").read_text(encoding="utf-8")
    sentences = [[line.split("\t")[1] for line in block.splitlines() if "\t" in line] for block in text.split("\n\n")]
    references = [sentence for sentence in sentences if sentence][:400]
    chance = random.Random(0)
    known = sorted({tag for sentence in references for tag in sentence})
    predictions = [[chance.choice(known) if chance.random() < 0.1 else tag for tag in words] for words in references]
    compare(predictions, references, "iob2")
    interval = bootstrap(entity_counts(predictions, references), f1_of, resamples=500)
    assert interval.estimate == pytest.approx(entity_f1(predictions, references)["f1"])
    assert 0.02 < interval.high - interval.low < 0.3
    assert 0.2 < entity_f1(predictions, references)["f1"] < 0.9
    assert entity_f1(references, references, scheme="bio")["f1"] == 1


def test_the_end_counts():
    predictions, references = [["B-PER", "O"]], [["B-PER", "I-PER"]]
    assert entity_f1(predictions, references)["f1"] == 0


def test_what_is_no_tag_is_refused():
    with pytest.raises(DataError, match="none of the scheme iob2") as caught:
        entity_f1([["S-PER"]], [["O"]])
    assert "B-TYPE, I-TYPE" in caught.value.expected
    with pytest.raises(DataError, match="sentence 1"):
        entity_f1([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(DataError, match="iob2, bio, iobes"):
        entity_f1([["O"]], [["O"]], scheme="iob1")
