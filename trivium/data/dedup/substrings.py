"""Remove passages that were said before, character for character, inside documents that differ otherwise.

ExactSubstr of Lee et al. (2022), "Deduplicating Training Data Makes Language Models Better", section 4.1: what occurs a
second time with at least 50 tokens, some 200 characters, goes. They sort all suffixes. Here every window of that length
has a number, windows are sorted by it, and those with the same number are compared before anything is removed; it
takes seconds and about 60 bytes of memory a character. Unlike them we keep the first occurrence, so that nothing is
lost.
"""

from collections.abc import Sequence

import numpy as np

from trivium.data.dedup.shingles import mixed, runs

CHARACTERS = 200
"""The shortest passage that is removed: 50 tokens of English, the length of Lee et al."""


def repeated(values: np.ndarray, length: int, ends: np.ndarray | None = None) -> np.ndarray:
    """What lies in a run of at least ``length`` values that came before, [N] bool.

    Args:
        values: characters or token ids of all documents, one after the other, [N] of any integers.
        length: of the shortest run.
        ends: where each document ends, ascending, the last at N: no run goes on into the next. One document if None.

    Returns:
        True at each value of every later occurrence that does not overlap the first.
    """
    marks = np.zeros(len(values) + 1, dtype=np.int32)
    starts, sources = _equal_windows(values, length, np.array([len(values)]) if ends is None else ends)
    later = starts[starts - sources >= length]
    marks[later] += 1  # no start occurs twice
    marks[later + length] -= 1
    return np.cumsum(marks[:-1]) > 0


def without_repeated(texts: Sequence[str], *, characters: int = CHARACTERS) -> list[str]:
    """The texts without the passages of at least ``characters`` characters that an earlier place has."""
    encoded = [text.encode("utf-32-le", "surrogatepass") for text in texts]
    codes = np.frombuffer(b"".join(encoded), dtype="<u4")
    ends = np.cumsum([len(part) // 4 for part in encoded], dtype=np.int64)
    gone = repeated(codes, characters, ends)
    begins = ends - np.diff(ends, prepend=0)
    return [
        codes[begin:end][~gone[begin:end]].tobytes().decode("utf-32-le", "surrogatepass")
        if gone[begin:end].any()
        else text
        for text, begin, end in zip(texts, begins.tolist(), ends.tolist(), strict=True)
    ]


def _equal_windows(values: np.ndarray, length: int, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows that came before, ascending, and the first place of each; both [windows] int64."""
    numbers = runs(mixed(values.astype(np.uint64) + np.uint64(1)), length)
    room = np.repeat(ends, np.diff(ends, prepend=0)) - np.arange(len(values))  # values up to the end of the document
    whole = np.flatnonzero(room[: len(numbers)] >= length)
    order = whole[np.argsort(numbers[whole], kind="stable")]  # equal windows in the order of the text
    ranked = numbers[order]
    place = np.flatnonzero(ranked[1:] == ranked[:-1]) + 1
    # Each window with the one before it that has its number: neighbours in a long repeat have neighbours before them,
    # and most comparisons are then shared.
    starts, previous = order[place], order[place - 1]
    ascending = np.argsort(starts)
    starts, previous = starts[ascending], previous[ascending]
    equal = _compared(values, starts, previous, length)
    starts, previous = starts[equal], previous[equal]
    source = np.arange(len(values))
    source[starts] = previous
    return starts, _followed(source, starts)


def _compared(values: np.ndarray, starts: np.ndarray, others: np.ndarray, length: int) -> np.ndarray:
    """Whether the windows at ``starts`` and ``others`` are really equal, [windows] bool.

    Neighbouring windows with the same distance share all but one value, so one value of each is compared, and all of
    the last of them. If one value differs, none of these neighbours is taken for equal: a repeat is missed then, which
    takes a collision of 64 bits.
    """
    if not len(starts):
        return np.zeros(0, dtype=bool)
    new = np.r_[True, (np.diff(starts) != 1) | (np.diff(others) != 1)]
    begins = np.flatnonzero(new)
    equal = np.logical_and.reduceat(values[starts] == values[others], begins)
    lasts = np.r_[begins[1:], len(starts)] - 1
    here, there = starts[lasts], others[lasts]
    for offset in range(length):
        equal &= values[here + offset] == values[there + offset]
    return np.repeat(equal, lasts - begins + 1)


def _followed(source: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Where the chain of earlier and earlier places ends for each of ``starts``: by pointer jumping, in place."""
    while True:
        above = source[source[starts]]
        if np.array_equal(above, source[starts]):
            return above
        source[starts] = above
