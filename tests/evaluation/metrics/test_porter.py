"""The stemmer against NLTK's on every word of two corpora, and on words made to be difficult."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer

from trivium.evaluation.metrics.porter import stem

THEIRS = PorterStemmer()
ENDINGS = [
    *("ational", "tional", "alli", "logi", "fulli", "iveness", "biliti", "ies", "ied", "eed"),
    *("ing", "sses", "ement", "ion", "ll", "e", "y", "yyy", "s"),
]


def test_equal_to_nltk_on_a_large_word_list(shared_data):
    text = (shared_data / "wikitext2" / "test.txt").read_text(encoding="utf-8")
    words = sorted(set(re.findall("[a-z0-9]+", text.lower())))
    assert len(words) > 10_000
    assert [stem(word) for word in words] == [THEIRS.stem(word) for word in words]


@given(st.text("aeioubdlstyz0", max_size=6), st.sampled_from(ENDINGS), st.sampled_from(["", "ed", "ing", "s", "ly"]))
def test_equal_to_nltk_on_words_that_nobody_wrote(start, middle, end):
    assert stem(start + middle + end) == THEIRS.stem(start + middle + end)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("relational", "relat"),
        ("hopping", "hop"),
        ("filing", "file"),
        ("flies", "fli"),
        ("dies", "die"),
        ("skies", "sky"),
    ],
)
def test_the_examples_of_the_paper_and_the_exceptions(word, expected):
    assert stem(word) == expected
