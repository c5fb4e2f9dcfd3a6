"""Passages that come again, against brute force and against hostile texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.dedup import substrings
from trivium.data.dedup.substrings import repeated, without_repeated


def brute(documents: list[list[int]], length: int) -> list[bool]:
    """Every window that an earlier place has, if it begins where the first of its kind has ended."""
    values = [value for document in documents for value in document]
    marks = [False] * len(values)
    first: dict[tuple[int, ...], int] = {}
    begin = 0
    for document in documents:
        for start in range(begin, begin + len(document) - length + 1):
            source = first.setdefault(tuple(values[start : start + length]), start)
            if start - source >= length:
                marks[start : start + length] = [True] * length
        begin += len(document)
    return marks


@given(st.lists(st.lists(st.integers(0, 2), max_size=30), min_size=1, max_size=5), st.integers(1, 6))
def test_what_is_repeated_is_what_brute_force_finds(documents: list[list[int]], length: int) -> None:
    values = np.array([value for document in documents for value in document], dtype=np.int64)
    ends = np.cumsum([len(document) for document in documents])
    assert repeated(values, length, ends).tolist() == brute(documents, length)


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(2, 4))
def test_collisions_remove_nothing_that_is_new(values: list[int], length: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(substrings, "runs", lambda numbers, size: np.zeros(max(len(numbers) - size + 1, 0), np.uint64))
        found = repeated(np.array(values, dtype=np.int64), length).tolist()
    assert not any(mark and not truth for mark, truth in zip(found, brute([values], length), strict=True))


def test_a_passage_goes_from_the_second_document(real_documents: list[str]) -> None:
    passage = real_documents[0][:300]
    texts = [
        f"{real_documents[1]} {passage}.",
        f"Before 😀 {passage}\ud800 after.",
        passage[:150],
        "",
        real_documents[2],
    ]
    found = without_repeated(texts)
    assert found == [texts[0], "Before 😀\ud800 after.", *texts[2:]]
    assert without_repeated(found) == found
    assert without_repeated([]) == []


@pytest.mark.parametrize(("text", "left"), [("a" * 2_000_000, 200), ("ab" * 1_000_000, 200), ("abc" * 500_000, 201)])
def test_one_repeated_character_takes_linear_time(text: str, left: int) -> None:
    (found,) = without_repeated([text])
    assert text.startswith(found[:200])
    assert len(found) == left
