"""Runs of words that belong together: phrases learnt from a text, and names, as units of masking.

words = WordTable.of(tokenizer)
phrases = learn_phrases(documents, words)                           # collocations of the training text
names = phrases_of([tokenizer.encode(" " + name) for name in names_in(texts)], words)
units = (phrases | names).units(ids, words)                         # [T], for `trivium.objectives.masked.mask_row`

ERNIE (Sun et al. 2019, section 3.2) masks words, phrases and entities whole, so that no phrase is guessed from its own
other half. It took its phrases from a chunker and its entities from a tagger. Here nothing is asked of outside: two
words side by side are a collocation where they stand so far more often than by chance (normalised pointwise mutual
information, Bouma 2009), and a phrase is a run of words of which every two neighbours are one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from trivium.data.shards import Ids
from trivium.data.word_units import WordTable

_LONGEST_WORDS = 5
"""Words of the longest phrase or name that is masked together: more could not be guessed from what is left."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: spreads numbers that are near one another (Knuth, volume 3, section 6.4)."""


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """A set of runs of words, known by 64-bit hashes of their ids."""

    hashes: Mapping[int, np.ndarray]
    """For each number of words, the sorted hashes of the runs of so many, uint64."""

    def __or__(self, other: "Phrases") -> "Phrases":
        """All runs of both."""
        sizes = self.hashes.keys() | other.hashes.keys()
        empty = np.empty(0, dtype=np.uint64)
        return Phrases(
            hashes={n: np.union1d(self.hashes.get(n, empty), other.hashes.get(n, empty)) for n in sorted(sizes)}
        )

    def __len__(self) -> int:
        return sum(map(len, self.hashes.values()))

    def units(self, ids: np.ndarray, words: WordTable) -> np.ndarray:
        """[T]: the number of the phrase, or else of the word, that each of ``ids`` belongs to, counted from 0.

        Where runs overlap the one that begins first counts, and of two that begin at one word, the longer."""
        of_word = words.units(ids)
        starts = _starts(of_word)
        if len(starts) < 2:
            return of_word
        keys = _word_hashes(ids, starts)
        lengths = np.ones(len(starts), dtype=np.int64)
        for size in sorted(self.hashes):
            if size <= len(keys):
                lengths[: len(keys) - size + 1][_among(_run_hashes(keys, size), self.hashes[size])] = size
        return _merged(lengths)[of_word]


def phrases_of(runs: Iterable[Ids], words: WordTable) -> Phrases:
    """The set of these runs, each given by its ids: names, a list of terms. Runs of one word, and of more than five,
    are left out."""
    found: dict[int, set[int]] = {}
    for run in runs:
        ids = np.asarray(run, dtype=np.int64)
        starts = _starts(words.units(ids))
        if 2 <= len(starts) <= _LONGEST_WORDS:
            run_hash = _run_hashes(_word_hashes(ids, starts), len(starts))
            found.setdefault(len(starts), set()).add(int(run_hash[0]))
    return Phrases(hashes={size: np.array(sorted(each), dtype=np.uint64) for size, each in found.items()})


def learn_phrases(
    documents: Iterable[Ids], words: WordTable, *, least_count: int = 5, least_association: float = 0.3
) -> Phrases:
    """The phrases of a text: of two to five words, each seen ``least_count`` times or more.

    Every two neighbours a, b in a phrase have ln(p(ab) / p(a) p(b)) / -ln p(ab) of ``least_association`` or more: 1
    where they never stand apart, 0 where they stand together as often as by chance. A phrase holds no punctuation and
    crosses no end of a document. Memory and time go with the text: some 10 million tokens tell as much as more.
    """
    keys, is_word = _all_words(documents, words)
    pairs = _run_hashes(keys, 2)
    joined = is_word[:-1] & is_word[1:]
    together = _counted(pairs, joined)
    alone = _counted(keys, is_word)
    total = max(1, int(is_word.sum()))
    with np.errstate(divide="ignore", invalid="ignore"):
        p_pair = together / total
        mutual = np.log(p_pair * total * total / (alone[:-1] * alone[1:]))
        association = np.where(together == total, 1.0, mutual / -np.log(p_pair))
    run = joined & (together >= least_count) & (association >= least_association)
    hashes: dict[int, np.ndarray] = {}
    whole = run
    for size in range(2, _LONGEST_WORDS + 1):
        if not whole.any():
            break
        found, counts = np.unique(_run_hashes(keys, size)[whole], return_counts=True)
        hashes[size] = found[counts >= least_count]
        whole = whole[:-1] & run[size - 1 :]
    return Phrases(hashes=hashes)


def _all_words(documents: Iterable[Ids], words: WordTable) -> tuple[np.ndarray, np.ndarray]:
    """The hash of each word of all documents in a row, and whether it is a word and no punctuation mark; between two
    documents stands something that is none."""
    keys: list[np.ndarray] = [np.zeros(1, dtype=np.uint64)]
    kinds: list[np.ndarray] = [np.zeros(1, dtype=bool)]
    for document in documents:
        ids = np.asarray(document, dtype=np.int64)
        if len(ids):
            starts = _starts(words.units(ids))
            keys += [_word_hashes(ids, starts), keys[0]]
            kinds += [np.logical_or.reduceat(words.is_word[ids], starts), kinds[0]]
    return np.concatenate(keys), np.concatenate(kinds)


def _counted(keys: np.ndarray, counting: np.ndarray) -> np.ndarray:
    """How often each key occurs among those that count, at each place; at least 1."""
    found, counts = np.unique(keys[counting], return_counts=True)
    if not len(found):
        return np.ones(len(keys))
    places = np.minimum(np.searchsorted(found, keys), len(found) - 1)
    return np.where(found[places] == keys, counts[places], 1).astype(np.float64)


def _starts(units: np.ndarray) -> np.ndarray:
    """Where each unit begins."""
    return np.flatnonzero(np.diff(units, prepend=-1))


def _word_hashes(ids: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """A number for each word that depends on its ids and their order, uint64."""
    place = np.arange(len(ids)) - np.repeat(starts, np.diff(starts, append=len(ids)))
    return np.add.reduceat(_scrambled(ids.astype(np.uint64) * np.uint64(64) + place.astype(np.uint64)), starts)


def _run_hashes(keys: np.ndarray, size: int) -> np.ndarray:
    """A number for each run of ``size`` words, [words - size + 1]."""
    count = len(keys) - size + 1
    mixed = keys[:count]
    for step in range(1, size):
        mixed = _scrambled(mixed) + keys[step : step + count]
    return mixed


def _scrambled(numbers: np.ndarray) -> np.ndarray:
    """Another 64 bits for each, all of which depend on all (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = (numbers + np.uint64(1)) * _MIX
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _among(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    if not len(known):
        return np.zeros(len(hashes), dtype=bool)
    return known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes


def _merged(lengths: np.ndarray) -> np.ndarray:
    """The number of the run that each word is in, where runs of ``lengths`` may begin at each."""
    starts = np.ones(len(lengths), dtype=bool)
    end = 0
    for place in np.flatnonzero(lengths > 1):
        if place >= end:
            end = place + lengths[place]
            starts[place + 1 : end] = False
    return np.cumsum(starts) - 1
