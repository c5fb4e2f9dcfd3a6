"""Cleaning and sentences."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.cleaning import clean
from trivium.data.sentences import first_sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc\x0bd\u2028e", "a\nb\nc\nd\ne"),
        ("e\u0301", "é"),
        ("a\u00a0b\u3000c", "a b c"),
        ("a\x00b\x1b[0m\ufeffc\u200b\u00add", "ab[0mcd"),
        ("\n\n    indented   \n\tand so on\t\n\n", "    indented\n\tand so on"),
        ("a" + "\n" * 9 + "b", "a\n\n\nb"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        ("x\u200dy \u0645\u200c\u0646", "x\u200dy \u0645\u200c\u0646"),
        ("    ", ""),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(alphabet=st.characters() | st.sampled_from("\n\r\t \u00a0\u0301\ufeff\ud800")))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(c) == "Cc" for c in once if c not in "\n\t")
    once.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Return it. Then go.", "Return it."),
        ("Return a thing, e.g. a list, i.e. this one. Not that.", "Return a thing, e.g. a list, i.e. this one."),
        ("Use e.g. Python for it. Yes.", "Use e.g. Python for it."),
        ("Version 3.14 of os.path is used. Next.", "Version 3.14 of os.path is used."),
        ("No full stop\nover two lines\n\nNext paragraph.", "No full stop over two lines"),
        ("Is it? Yes.", "Is it?"),
        ('Say "hello." Then leave.', 'Say "hello."'),
        ("By J. Smith et al. in 1999. More.", "By J. Smith et al. in 1999."),
        ("Wait ... Then go. End.", "Wait ... Then go."),
        ("Read __init__.py. `x` is next.", "Read __init__.py."),
        ("", ""),
    ],
)
def test_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence
