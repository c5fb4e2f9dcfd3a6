"""MinHash: a short signature of a document, such that the share of equal entries estimates the overlap of two.

Broder (1997), "On the resemblance and containment of documents": the smallest hash over a set of shingles is equal for
two sets with probability J = |A & B| / |A | B|, the Jaccard index. Instead of one pass over the shingles for each entry
of the signature, one hash puts each shingle in one bin, and each bin keeps its smallest: one permutation hashing (Li,
Owen and Zhang 2012). A bin that stays empty, as in short documents, borrows from another that is drawn at random but is
the same for all documents, which keeps the probability exactly J (optimal densification, Shrivastava 2017).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from trivium.data.dedup.shingles import mixed, shingles, word_blocks
from trivium.errors import ConfigError

EMPTY = np.uint32(2**32 - 1)
"""Every entry of the signature of a document without a word, and no other entry."""


@dataclass(frozen=True, kw_only=True)
class MinHashConfig:
    """What counts as a near-copy.

    Published: 5 words and J >= 0.8 with 20 bands of 450 rows (Lee et al. 2022, "Deduplicating Training Data Makes
    Language Models Better", appendix A); 5 words and about 0.75 with 14 bands of 8 (FineWeb, Penedo et al. 2024). Those
    lose most documents in which every twentieth word was changed: of runs of 5 words 77 % remain, which is J = 0.63.
    Of runs of 3 words 86 % remain, which is J = 0.75, also in documents of 20 words; 32 bands of 4 rows meet with
    probability 1 - (1 - J^4)^32: 0.99999 there, and 0.87 at the threshold. Documents of one language that are distinct
    share one or two runs of 3 words in a hundred.
    """

    shingle_words: int = 3
    """Neighbouring words that are compared as one."""
    bands: int = 32
    """Groups of entries of a signature; two documents are compared when they agree in a whole band."""
    rows: int = 4
    """Entries in a band."""
    threshold: float = 0.5
    """Least estimated Jaccard index of the shingles of two near-copies."""

    def __post_init__(self) -> None:
        for name in ("shingle_words", "bands", "rows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", received=getattr(self, name))
        if not 0 < self.threshold <= 1:
            raise ConfigError("threshold is a Jaccard index", received=self.threshold, expected="above 0, at most 1")

    @property
    def entries(self) -> int:
        """Numbers in a signature; each takes four bytes."""
        return self.bands * self.rows


def signature(text: str, config: MinHashConfig) -> np.ndarray:
    """The signature of one document, [entries] uint32."""
    return signatures([text], config)[0]


def signatures(texts: Iterable[str], config: MinHashConfig) -> np.ndarray:
    """The signatures of documents in their order, [N, entries] uint32; each depends on its own text alone."""
    found = list(signature_blocks(texts, config))
    return np.concatenate(found) if found else np.zeros((0, config.entries), dtype=np.uint32)


def signature_blocks(texts: Iterable[str], config: MinHashConfig) -> Iterator[np.ndarray]:
    """The same a few documents at a time, for a stream that does not fit in memory: [documents, entries] uint32."""
    for hashes, counts in word_blocks(texts):
        found, numbers = shingles(hashes, counts, config.shingle_words)
        yield _smallest(found, numbers, config.entries)


def similarity(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The estimated Jaccard index of pairs of documents by their signatures, [N, entries] each -> [N] float32.

    Its standard error is at most sqrt(J (1 - J) / entries): 0.038 at J = 0.75 with 128 entries.
    """
    equal = (left == right) & (left != EMPTY)
    return equal.mean(axis=-1, dtype=np.float32)


def jaccard(left: str, right: str, config: MinHashConfig) -> float:
    """The true Jaccard index of the shingles of two texts; 0 where either has no word."""
    one, other = (np.unique(_shingles_of(text, config.shingle_words)) for text in (left, right))
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(len(one) + len(other) - shared, 1)


def _shingles_of(text: str, length: int) -> np.ndarray:
    ((hashes, counts),) = word_blocks([text])
    return shingles(hashes, counts, length)[0]


def _smallest(values: np.ndarray, numbers: np.ndarray, entries: int) -> np.ndarray:
    """The signatures of a block: the smallest of each bin, and what empty bins borrow. [texts, entries]."""
    half = np.uint64(32)
    bins = ((values >> half) * np.uint64(entries) >> half).astype(np.intp)
    bins += np.repeat(np.arange(len(numbers)) * entries, numbers)
    found = np.full((len(numbers), entries), EMPTY)
    np.minimum.at(found.reshape(-1), bins, np.minimum(values.astype(np.uint32), EMPTY - np.uint32(1)))
    _fill_empty(found, numbers > 0)
    return found


def _fill_empty(found: np.ndarray, has_words: np.ndarray) -> None:
    """Let each empty bin copy the first of its lenders that was filled by a shingle, in place."""
    filled = found != EMPTY
    rows, bins = np.nonzero(~filled & has_words[:, None])
    lenders = _lenders(found.shape[1])
    for turn in range(found.shape[1]):
        if not len(rows):
            return
        asked = lenders[turn, bins]
        lends = filled[rows, asked]
        found[rows[lends], bins[lends]] = found[rows[lends], asked[lends]]
        rows, bins = rows[~lends], bins[~lends]
    assert not len(rows), "every bin is among the lenders of every other"


@cache
def _lenders(entries: int) -> np.ndarray:
    """For each bin all bins in an order of its own, [turn, bin]: drawn once, for all documents and all time."""
    ranks = mixed(np.arange(1, entries * entries + 1, dtype=np.uint64)).reshape(entries, entries)
    return np.argsort(ranks, axis=0, kind="stable")
