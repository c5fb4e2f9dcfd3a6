"""Words as numbers: what is one word, and that the way it is computed cannot be seen."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.dedup import shingles
from trivium.data.dedup.shingles import runs, word_blocks, word_numbers


def same(left: str, right: str) -> bool:
    return word_numbers(left).tolist() == word_numbers(right).tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" .,!? \n", 0),
        ("The cat, (the) hat_2!", 4),
        ("naïve café — Straße", 3),
        ("हिन्दी में", 2),  # vowel signs are marks inside a word
        ("中文字", 3),
        ("東京タワーへ", 6),
        ("ภาษาไทย", 7),
        ("한국어 글", 2),
        ("a😀b", 2),  # an emoji begins a word
        ("x\ud800", 2),
    ],
)
def test_what_is_a_word(text: str, words: int) -> None:
    assert len(word_numbers(text)) == words


def test_case_and_what_stands_between_words_make_no_difference() -> None:
    assert same("The CAT sat", "the cat\n\n-- sat.")
    assert same("ΑΘΉΝΑ é", "αθήνα É")
    assert same("A Café b", "a café B")  # the same ASCII word beside other characters and alone
    assert word_numbers("a café")[0] == word_numbers("A")[0]
    assert not same("ab c", "a bc")
    assert not same("ab", "ba")
    assert len(set(word_numbers("aaa aa a aaaa b").tolist())) == 5


@given(st.lists(st.text(alphabet="aB_1 .,\n")))
def test_ascii_words_are_those_of_the_regular_expression(texts: list[str]) -> None:
    number_of: dict[str, int] = {}
    for text in texts:
        found = word_numbers(text).tolist()
        words = re.findall(r"\w+", text.casefold())
        assert len(found) == len(words)
        for word, number in zip(words, found, strict=True):
            assert number_of.setdefault(word, number) == number
    assert len(set(number_of.values())) == len(number_of)


@given(st.lists(st.text(alphabet=st.characters() | st.sampled_from("ab \n中\ud800"))), st.integers(3, 40))
def test_neighbours_and_blocks_change_nothing(texts: list[str], size: int) -> None:
    expected = [word_numbers(text).tolist() for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingles, "BLOCK_CHARACTERS", size)
        found = []
        for hashes, counts in word_blocks(texts):
            found += [part.tolist() for part in np.split(hashes, np.cumsum(counts)[:-1])]
    assert [len(words) >= 0 for words in found] == [True] * len(texts)
    for text, left, right in zip(texts, expected, found, strict=True):
        # A single word longer than a block is cut, wherever it stands.
        if all(len(word.encode("utf-16-le", "surrogatepass")) < 2 * size - 2 for word in text.casefold().split()):
            assert left == right


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 12))
def test_runs_are_equal_where_their_values_are(values: list[int], length: int) -> None:
    found = runs(np.array(values, dtype=np.uint64), length).tolist()
    pieces = [tuple(values[i : i + length]) for i in range(max(len(values) - length + 1, 0))]
    assert len(found) == len(pieces)
    for (a, one), (b, other) in itertools.combinations(zip(found, pieces, strict=True), 2):
        assert (a == b) == (one == other)


def test_a_hostile_line_takes_linear_time() -> None:
    assert len(word_numbers("a" * 5_000_000)) <= 5_000_000 // shingles.BLOCK_CHARACTERS + 1
    assert len(word_numbers(" " * 5_000_000)) == 0
    assert len(word_numbers("a " * 2_500_000)) == 2_500_000
    assert len(word_numbers("ß" * 1_000_000)) <= 2_000_000 // shingles.BLOCK_CHARACTERS + 1
