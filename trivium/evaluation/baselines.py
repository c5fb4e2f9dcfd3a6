"""What a model must beat: n-grams over the same tokens, and a general compressor.

The n-grams are interpolated by Witten and Bell 1991 ("The Zero-Frequency Problem", method C, as in Chen and Goodman
1998, section 2.4): with c(h) occurrences of a history h and T(h) distinct tokens seen after it,

    p(w | h) = (c(h w) + T(h) p(w | h')) / (c(h) + T(h)),

h' being h without its oldest token; below the unigram stands the uniform distribution. Histories never cross documents.
"""

import lzma
import math
from collections.abc import Iterable

import numpy as np

from trivium.data.shards import TokenStore


def ngram_bits(train: TokenStore, held_out: TokenStore, order: int) -> np.ndarray:
    """-log2 p of each target of `held_out`, [targets] float64: every token but the first of each document, in order.

    These are the targets that a language model is scored on. At a document's beginning the history is as short as the
    document is. `order` 1 is the unigram, 2 the bigram, 3 the trigram.
    """
    assert order >= 1 and train.vocabulary_size == held_out.vocabulary_size
    assert order * math.log2(train.vocabulary_size + 1) < 63, "an n-gram is one 64-bit number"
    seen, targets = _targets(train), _targets(held_out)
    probability = np.full(len(targets.tokens), 1 / train.vocabulary_size)
    for length in range(order):
        _interpolate(probability, seen, targets, length)
    return -np.log2(probability)


def bits_per_byte(bits: np.ndarray, store: TokenStore) -> float:
    """The sum of `bits` over the bytes of the text of `store`."""
    return float(bits.sum() / store.num_bytes)


def xz_bits_per_byte(train: Iterable[str], held_out: Iterable[str]) -> float:
    """Bits per byte of `held_out` for the strongest `xz`, which has read `train` before: xz(both) - xz(train)."""
    before, after = _joined(train), _joined(held_out)
    extra = _compressed(before + after) - _compressed(before)
    return 8 * extra / (len(after) - after.count(_END))


_END = b"\0"  # ends a document, as EOS does for a model; counted in the bits, not in the bytes


class _Targets:
    """The tokens to predict, and for each the tokens before it, as numbers that can be compared."""

    def __init__(self, tokens: np.ndarray, positions: np.ndarray, available: np.ndarray, base: int):
        self._all = tokens
        self._positions = positions
        self._available = available
        self._base = base
        self.tokens = tokens[positions]

    def having(self, length: int) -> np.ndarray:
        """True for the targets with at least `length` tokens before them in their document."""
        return self._available >= length

    def histories(self, length: int) -> np.ndarray:
        """The last `length` tokens before each target that has so many, in one number each."""
        positions = self._positions[self.having(length)]
        number = np.zeros(len(positions), dtype=np.int64)
        for back in range(length, 0, -1):
            number = number * self._base + self._all[positions - back]
        return number

    def extended(self, length: int) -> np.ndarray:
        """`histories` with the target behind: the n-grams of `length` + 1 tokens."""
        return self.histories(length) * self._base + self.tokens[self.having(length)]


def _targets(store: TokenStore) -> _Targets:
    tokens = store.gather(np.arange(store.num_tokens))
    starts = np.repeat(store.boundaries[:-1], np.diff(store.boundaries))
    available = np.arange(store.num_tokens) - starts
    positions = np.flatnonzero(available)
    return _Targets(tokens, positions, available[positions], store.vocabulary_size)


def _interpolate(probability: np.ndarray, seen: _Targets, targets: _Targets, length: int) -> None:
    """Turns p(w | h') into p(w | h) for histories of `length` tokens, in place."""
    grams, gram_counts = np.unique(seen.extended(length), return_counts=True)
    # Of sorted n-grams those with the same history stand together.
    histories, first = np.unique(grams // seen._base, return_index=True)
    occurrences = np.add.reduceat(gram_counts, first) if len(first) else gram_counts
    followers = np.diff(np.append(first, len(grams)))
    places, known = _find(histories, targets.histories(length))
    gram_places, gram_known = _find(grams, targets.extended(length))
    count = np.where(gram_known, gram_counts[gram_places], 0) if len(grams) else np.zeros(len(gram_places))
    having = np.flatnonzero(targets.having(length))[known]
    distinct = followers[places[known]]
    shorter = probability[having]
    probability[having] = (count[known] + distinct * shorter) / (occurrences[places[known]] + distinct)


def _find(ordered: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `wanted` stands in `ordered`, and whether it does."""
    if not len(ordered):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    places = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return places, ordered[places] == wanted


def _joined(texts: Iterable[str]) -> bytes:
    return b"".join(text.encode("utf-8", "replace") + _END for text in texts)


def _compressed(content: bytes) -> int:
    return len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
