"""distinct-n and repetition by hand; Self-BLEU against NLTK's, one text at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from trivium.errors import DataError
from trivium.evaluation.metrics import distinct, distinct_texts, repetition, self_bleu

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=8).map(" ".join), min_size=2, max_size=6)


def theirs(texts: list[str], order: int = 4) -> list[float]:
    words, smoothing = [text.split() for text in texts], SmoothingFunction().method1
    weights = (1 / order,) * order
    return [
        sentence_bleu(words[:i] + words[i + 1 :], text, weights, smoothing) if text else 0.0
        for i, text in enumerate(words)
    ]


@given(TEXTS, st.integers(1, 4))
def test_self_bleu_is_that_of_nltk(texts, order):
    ours = self_bleu(texts, order=order, tokenizer="whitespace", per_example=True)
    assert ours["per_example"]["self_bleu"] == pytest.approx(theirs(texts, order), abs=1e-12)
    assert 0 <= ours["self_bleu"] <= 1 + 1e-12


def test_self_bleu_of_captions(shared_data):
    lines = (shared_data / "text_gan" / "image_coco.txt").read_text(encoding="utf-8").splitlines()
    ours = self_bleu(lines[:60], tokenizer="whitespace", per_example=True)
    assert ours["per_example"]["self_bleu"] == pytest.approx(theirs(lines[:60]), abs=1e-12)
    assert 0.3 < self_bleu(lines[:5000])["self_bleu"] < 1  # 12 million pairs of texts, and none is looked at


def test_self_bleu_needs_company():
    text = "one two three four five"
    assert self_bleu([text, text, text])["self_bleu"] == pytest.approx(1)
    assert self_bleu(["a b c d", "e f g h"])["self_bleu"] == 0
    with pytest.raises(DataError, match="2 or more"):
        self_bleu([text])


def test_distinct_by_hand():
    # a b a b | a b: unigrams a, b of 6; bigrams ab, ba of 4; trigrams aba, bab of 2.
    result = distinct(["a b a b", "a b"], n=(1, 2, 3, 9))
    assert result == {"distinct1": 2 / 6, "distinct2": 2 / 4, "distinct3": 1.0, "distinct9": 0.0}
    with pytest.raises(DataError, match="n must be"):
        distinct(["a"], n=(0,))


def test_distinct_texts_by_hand():
    assert distinct_texts(["a b", "A  b", "b a", "a b c"]) == {"distinct_texts": 3 / 4}
    assert distinct_texts(["a b", "A b"], tokenizer="whitespace") == {"distinct_texts": 1.0}
    assert distinct_texts(["", ""]) == {"distinct_texts": 1 / 2}


def test_repetition_by_hand():
    assert repetition(["a b a b a b", "c d e"], n=2, per_example=True)["per_example"]["repetition"] == [3 / 5, 0.0]
    assert repetition(["short"])["repetition"] == 0


@given(TEXTS)
def test_shares(texts):
    figures = [*distinct(texts).values(), repetition(texts, n=2)["repetition"]]
    assert all(0 <= figure <= 1 for figure in figures)
    doubled = distinct([*texts, *texts])
    assert all(doubled[name] <= figure for name, figure in distinct(texts).items())
