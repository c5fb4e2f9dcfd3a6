"""Cleaning with other settings than the default, and in linear time."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bounded import computing_at_most
from trivium import config
from trivium.data.cleaning import CleaningConfig, clean

COMPATIBLE = CleaningConfig(unicode_form="NFKC")
BARE = CleaningConfig(strip_accents=True)
BOTH = CleaningConfig(unicode_form="NFKC", strip_accents=True)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Café naïve Žižek", "Cafe naive Zizek"),
        ("cafe\u0301", "cafe"),
        ("Ελλάδα, йод", "Ελλαδα, иод"),
        ("smørrebrød, łódź", "smørrebrød, łodz"),
        ("हिन्दी ไทยนี้ שָׁלוֹם が 한국어", "हिन्दी ไทยนี้ שָׁלוֹם が 한국어"),
        ("10² ﬁne", "10² ﬁne"),
    ],
)
def test_accents(text: str, bare: str) -> None:
    assert clean(text, BARE) == unicodedata.normalize("NFC", bare)
    assert clean(text) == unicodedata.normalize("NFC", text)


def test_compatible_form() -> None:
    assert clean("ﬁne Ｗｉｄｅ 10² ①", COMPATIBLE) == "fine Wide 102 1"
    assert clean("ﬁne", CleaningConfig()) == "ﬁne"
    assert clean("\u00b4", BOTH) == ""  # a spacing accent is a space and an accent


def test_the_configuration_reads_from_yaml() -> None:
    assert config.from_dict(CleaningConfig, {"strip_accents": True}) == BARE


HOSTILE = st.characters() | st.sampled_from("\n\r\t \u00a0\u0301\ufeff\ud800\u00b4\u1fee\ufdfa\u3164\u2000\uff9e")


@given(st.text(alphabet=HOSTILE), st.sampled_from([CleaningConfig(), COMPATIBLE, BARE, BOTH]))
def test_cleaning_twice_changes_nothing_more(text: str, settings: CleaningConfig) -> None:
    once = clean(text, settings)
    assert clean(once, settings) == once
    assert unicodedata.is_normalized(settings.unicode_form, once)
    assert not any(line != line.rstrip(" \t") for line in once.split("\n"))
    once.encode("utf-8")


@pytest.mark.parametrize("unit", [" ", "\t ", "\n", "\r", "\u00a0", "\u0301", "e\u0301", "\x00", "\ud800", " \n"])
def test_a_megabyte_of_anything_between_two_letters(unit: str) -> None:
    text = "a" + (unit * 1_000_000)[:1_000_000] + "b"
    with computing_at_most(20):  # 0.3 s at most here; runs read again and again took minutes
        clean(text, BOTH)
