"""ROUGE by hand, against the package rouge-score, and in scripts that it cannot read."""

import gzip
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from trivium.errors import DataError
from trivium.evaluation.metrics import rouge
from trivium.evaluation.metrics.rouge import most_typical, rouge_l

ALL = ("rouge1", "rouge2", "rougeL", "rougeLsum")
SENTENCE = st.lists(st.sampled_from(["the", "a", "cat", "dog", "sat", "ran", "on", "mat"]), max_size=12).map(" ".join)
TEXT = st.lists(SENTENCE, min_size=1, max_size=5).map("\n".join)


def compare(prediction: str, references: list[str], *, stemmer: bool) -> None:
    theirs = RougeScorer(ALL, use_stemmer=stemmer).score_multi(references, prediction)
    ours = rouge([prediction], [references], tokenizer="rouge_score", stemmer=stemmer)
    for kind in ALL:
        got = (ours[f"{kind}_precision"], ours[f"{kind}_recall"], ours[kind])
        assert got == pytest.approx(tuple(theirs[kind]), abs=1e-12), (kind, prediction, references)


def test_the_example_of_the_paper():
    # Lin 2004, section 3.1: both candidates share two or three words with the reference, ROUGE-L sees the order.
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", reference) == pytest.approx(2 / 4)


def test_the_union_of_the_paper():
    # Section 3.2: w1 w2 of the first sentence and w1 w3 w5 of the second make four of the reference's five words.
    result = rouge(["w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"], ["w1 w2 w3 w4 w5"], kinds=["rougeLsum"])
    assert result["rougeLsum_recall"] == 4 / 5
    assert result["rougeLsum_precision"] == 4 / 10


def test_mean_over_examples_and_empty_texts():
    result = rouge(["Return the name.", ""], ["return the NAME", "something"], kinds=["rougeL"], per_example=True)
    assert result["rougeL"] == 0.5
    assert result["per_example"]["rougeL"] == [1.0, 0.0]
    assert rouge_l("...", "...") == 0.0


@pytest.mark.parametrize("stemmer", [False, True])
def test_equal_to_rouge_score_on_summaries_of_papers(shared_data, stemmer):
    with gzip.open(shared_data / "scitldr" / "dev.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(next(file)) for _ in range(20)]
    for row, other in itertools.pairwise(rows):
        compare("\n".join(row["source"][:4]), row["target"], stemmer=stemmer)
        compare("\n".join(row["source"]), ["\n".join(other["source"])], stemmer=stemmer)


def test_equal_to_rouge_score_with_three_references(shared_data):
    lines = (shared_data / "nc-dialogsum" / "dialogsum.test.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines[:40]:
        row = json.loads(line)
        compare(row["dialogue"], [row[f"summary{number}"].replace(". ", ".\n") for number in (1, 2, 3)], stemmer=True)


def test_equal_to_rouge_score_on_answers(shared_data):
    lines = (shared_data / "instructions" / "self_instruct_seed_tasks.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["instruction"] for line in lines[:120]]
    for prediction, reference in itertools.pairwise(texts):
        compare(prediction, [reference], stemmer=False)


@given(TEXT, TEXT)
def test_equal_to_rouge_score_whatever_repeats(prediction, reference):
    compare(prediction, [reference], stemmer=False)


@given(TEXT, TEXT)
def test_what_always_holds(prediction, reference):
    result = rouge([prediction], [reference])
    assert all(0 <= figure <= 1 for figure in result.values())
    assert result["rouge2"] <= result["rouge1"] + 1e-12 or len(reference.split()) < 2
    assert result["rougeL"] <= result["rouge1"] + 1e-12
    swapped = rouge([reference], [prediction])
    for kind in ("rouge1", "rouge2", "rougeL"):
        assert swapped[kind] == pytest.approx(result[kind])
        assert swapped[f"{kind}_precision"] == result[f"{kind}_recall"]
    if reference.split():
        assert rouge([reference], [reference], kinds=["rouge1", "rougeL", "rougeLsum"])["rougeLsum"] == 1


@pytest.mark.parametrize(
    "text", ["Съешь же ещё этих булок", "我爱北京天安门。", "हिन्दी में लिखा", "ภาษาไทย", "안녕 세상"]
)
def test_every_script_has_words(text):
    same = rouge([text], [text])
    assert all(figure == 1 for figure in same.values())
    assert rouge([text], [text], kinds=["rouge1"], tokenizer="rouge_score")["rouge1"] == 0
    assert rouge([text], ["совсем 何 other"], kinds=["rouge1"])["rouge1"] == 0


def test_where_sentences_end_is_an_option():
    prediction, reference = "It rained. Nobody came.", "Nobody came. It rained."
    assert rouge([prediction], [reference], kinds=["rougeLsum"])["rougeLsum"] == 0.5
    assert rouge([prediction], [reference], kinds=["rougeLsum"], split="sentences")["rougeLsum"] == 1


def test_very_long_texts():
    # 20,000 words a text: the textbook's table would have 400 million cells.
    text = " ".join(str(number % 997) for number in range(20_000))
    assert rouge([text], [text[10:]], kinds=["rougeL"])["rougeL"] > 0.99


def test_unknown_options_are_refused():
    with pytest.raises(DataError, match="rouge1, rouge2"):
        rouge(["a"], ["a"], kinds=["rougel"])
    with pytest.raises(DataError, match="no such tokenizer"):
        rouge(["a"], ["a"], tokenizer="nltk")
    with pytest.raises(DataError, match="newline, sentences"):
        rouge(["a"], ["a"], split="punkt")


def test_the_most_typical_text_is_most_like_the_others():
    assert most_typical(["close it", "open the file", "open the old file", "open a file"]) == "open the file"
