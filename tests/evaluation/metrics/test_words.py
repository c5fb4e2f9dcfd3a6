"""Words of every script, and where sentences end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import tokenize

from trivium.evaluation.metrics.words import reader, sentences


@given(st.text(st.characters(max_codepoint=127)))
def test_on_ascii_all_agree(text):
    assert reader()(text) == reader("rouge_score")(text) == tokenize.tokenize(text, None)


@given(st.text())
def test_the_legacy_tokenizer_is_that_of_rouge_score(text):
    assert reader("rouge_score")(text) == tokenize.tokenize(text, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("我爱 Beijing!", ["我", "爱", "beijing"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs and the virama belong to the word
        ("naïve, nai\u0308ve", ["naïve", "naïve"]),
        ("snake_case Ünïcode_x", ["snake", "case", "ünïcode", "x"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
        ("ｆｕｌｌ ＷＩＤＴＨ", ["full", "width"]),
        ("😀 …", []),
    ],
)
def test_words_of_many_scripts(text, words):
    assert reader()(text) == words


def test_the_stemmer_leaves_short_and_foreign_words():
    assert reader(stemmer=True)("Dogs was running бегущий") == ["dog", "was", "run", "бегущий"]


def test_sentences_end_at_marks_and_lines():
    assert sentences('He said "no." Then he left.\nv1.5 is out') == ['He said "no."', " Then he left.", "v1.5 is out"]
    assert sentences("我来了。你呢？好") == ["我来了。", "你呢？", "好"]
    assert sentences(" \n") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("." * 1_000_000 + "x", ["x"]),
        ("a" * 1_000_000, ["a" * 1_000_000]),
        ("\u0301" * 1_000_000, ["\u0301" * 1_000_000]),
        ("。" * 100_000, []),
    ],
    ids=["dots", "letters", "accents", "full stops"],
)
def test_hostile_lines(text, words):
    """In quadratic time these would take hours."""
    assert sentences(text) == [text]
    assert reader()(text) == words
