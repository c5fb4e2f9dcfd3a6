"""How much of a text repeats itself, in runs of words (Rae et al. 2021, section A.1.1 and Table A1).

Exact, without hashing: a run of n words can only occur twice if its first n - 1 words do, so each n looks only at the
places that the last one left. In prose these thin out quickly. Time grows as N log N in the words, whatever they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOP_SIZES: tuple[int, ...] = (2, 3, 4)
"""Words of the runs of which the most frequent is weighed."""
DUPLICATE_SIZES: tuple[int, ...] = (5, 6, 7, 8, 9, 10)
"""Words of the runs of which all that came before are weighed."""


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """Shares, in [0, 1], of the characters of all words: white space does not count, and no character counts twice."""

    top: tuple[float, ...]
    """In the most frequent run of 2, 3 and 4 words, all its occurrences; 0 where none occurs twice. Of equally frequent
    runs the longest counts."""
    duplicate: tuple[float, ...]
    """In runs of 5, 6, 7, 8, 9 and 10 words that stood in the text before; the first occurrence does not count."""


def measure_repetition(pieces: Sequence[str], pieces_a_word: int = 1) -> Repetition:
    """The repetition in a text, given what stands between its white space, or its letters where it has none.

    A run of n words is one of n times ``pieces_a_word`` pieces, wherever it begins.
    """
    number_of = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    ids = np.fromiter(map(number_of.__getitem__, pieces), np.int64, len(pieces))
    lengths = np.fromiter(map(len, number_of), np.int64, len(number_of))[ids]
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))  # characters before each piece
    words, kinds = ids, len(number_of)
    for place in range(1, pieces_a_word):
        fits = max(0, len(ids) - place)
        words, counts, _ = _group(words[:fits] * len(number_of) + ids[place:])
        kinds = len(counts)
    return _measure(words, ends, kinds, pieces_a_word)


def _measure(words: np.ndarray, ends: np.ndarray, kinds: int, size: int) -> Repetition:
    """``words`` [places] numbers, by kind, the words of ``size`` pieces that begin at each place."""
    shares = dict.fromkeys((*TOP_SIZES, *DUPLICATE_SIZES), 0.0)
    starts, groups = np.arange(len(words)), words  # where runs of n words start, and which of them are equal
    for n in range(2, max(DUPLICATE_SIZES) + 1):
        fits = starts + (n - 1) * size < len(words)
        starts, groups = starts[fits], groups[fits]
        # Equal runs of n - 1 words, continued by equal words; both factors are below 2^31, so the product fits.
        groups, counts, first = _group(groups * kinds + words[starts + (n - 1) * size])
        if not np.any(counts > 1):
            break
        if n in TOP_SIZES:
            shares[n] = _covered(starts[groups == _heaviest(starts, counts, first, ends, n * size)], n * size, ends)
        else:
            repeats = np.ones(len(starts), bool)
            repeats[first] = False
            shares[n] = _covered(starts[repeats], n * size, ends)
        again = counts[groups] > 1
        starts, groups = starts[again], groups[again]
    return Repetition(top=tuple(shares[n] for n in TOP_SIZES), duplicate=tuple(shares[n] for n in DUPLICATE_SIZES))


def _group(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each key the number of its group; for each group how often it comes, and where first."""
    if not len(keys):
        return keys, keys, keys
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.concatenate((np.ones(1, bool), ordered[1:] != ordered[:-1]))
    heads = np.flatnonzero(is_first)
    groups = np.empty(len(keys), np.int64)
    groups[order] = np.cumsum(is_first) - 1
    return groups, np.diff(heads, append=len(keys)), order[heads]


def _heaviest(starts: np.ndarray, counts: np.ndarray, first: np.ndarray, ends: np.ndarray, n: int) -> int:
    """The most frequent group; of several the one with most characters, of those the first in the text."""
    best = np.flatnonzero(counts == counts.max())
    places = starts[first[best]]
    characters = ends[places + n] - ends[places]
    return int(best[np.lexsort((places, -characters))[0]])


def _covered(starts: np.ndarray, n: int, ends: np.ndarray) -> float:
    """The share of all characters that lies in the runs of n pieces at ``starts``, overlaps counted once."""
    pieces = len(ends) - 1
    depth = np.zeros(pieces + 1, np.int64)
    depth[starts] += 1  # starts are distinct
    depth[starts + n] -= 1
    inside = np.cumsum(depth[:pieces]) > 0
    return float(np.diff(ends)[inside].sum() / ends[-1])
