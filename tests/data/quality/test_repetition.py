"""Repeated runs of words, by hand and against a count that is slow and plain."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.data.quality.repetition import measure_repetition


def slow_top(words: list[str], n: int) -> float:
    runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counts = Counter(runs)
    if not counts or max(counts.values()) < 2:
        return 0.0
    often = [run for run, count in counts.items() if count == max(counts.values())]
    longest = max(sum(map(len, run)) for run in often)
    chosen = next(run for run in runs if run in often and sum(map(len, run)) == longest)
    inside = {i + k for i, run in enumerate(runs) if run == chosen for k in range(n)}
    return sum(len(words[i]) for i in inside) / sum(map(len, words))


def slow_duplicate(words: list[str], n: int) -> float:
    seen: set[tuple[str, ...]] = set()
    inside: set[int] = set()
    for i in range(len(words) - n + 1):
        run = tuple(words[i : i + n])
        if run in seen:
            inside.update(range(i, i + n))
        seen.add(run)
    return sum(len(words[i]) for i in inside) / max(sum(map(len, words)), 1)


def test_by_hand() -> None:
    # "to be" twice among 6 words of 2, 2, 2, 3, 2, 2 characters.
    result = measure_repetition(["to", "be", "or", "not", "to", "be"])
    assert result.top == pytest.approx((8 / 13, 0, 0))
    assert result.duplicate == (0,) * 6
    # A sentence of 7 words said twice: of its runs of 5, 6 and 7 words the second saying is covered whole.
    sentence = ["a", "bb", "ccc", "dddd", "e", "ff", "ggg"]
    result = measure_repetition([*sentence, "h", *sentence])
    assert result.duplicate == pytest.approx((16 / 33, 16 / 33, 16 / 33, 0, 0, 0))
    # All pairs occur twice: the longest, "ccc dddd", counts. So do the triple "bb ccc dddd" and the four up to "e".
    assert result.top == pytest.approx((14 / 33, 18 / 33, 20 / 33))


def test_overlaps_count_once() -> None:
    result = measure_repetition(["ha"] * 11)
    assert result.top == (1, 1, 1)
    # All runs but the first of n words are repeats, and the earliest of them begins at the second word.
    assert result.duplicate == pytest.approx([10 / 11] * 6)


@given(st.lists(st.sampled_from(["a", "bb", "ccc", "d"]), max_size=60))
@settings(max_examples=200)
def test_equal_to_the_slow_count(words: list[str]) -> None:
    result = measure_repetition(words)
    assert result.top == pytest.approx([slow_top(words, n) for n in (2, 3, 4)])
    assert result.duplicate == pytest.approx([slow_duplicate(words, n) for n in range(5, 11)])


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), min_size=1, max_size=12), st.integers(2, 6))
@settings(max_examples=100)
def test_copies_are_equal_to_the_slow_count(words: list[str], copies: int) -> None:
    words = [*words, "end"] * copies
    result = measure_repetition(words)
    assert result.duplicate == pytest.approx([slow_duplicate(words, n) for n in range(5, 11)])


@given(st.lists(st.sampled_from(["a", "bb", "c"]), max_size=40), st.integers(1, 3), st.integers(2, 3))
@settings(max_examples=100)
def test_words_of_several_letters_are_runs_of_letters(letters: list[str], copies: int, size: int) -> None:
    letters = letters * copies
    result = measure_repetition(letters, size)
    assert result.top == pytest.approx([slow_top(letters, n * size) for n in (2, 3, 4)])
    assert result.duplicate == pytest.approx([slow_duplicate(letters, n * size) for n in range(5, 11)])
