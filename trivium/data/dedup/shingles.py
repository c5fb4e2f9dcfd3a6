"""Words, and runs of neighbouring words, as 64-bit numbers.

A word is a run of letters, marks, digits and underscores, whatever its case. In scripts that put no space between
words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), every character is a word, and a run of words is the shingle of
characters that is usual there. Everything is computed over arrays of characters, many documents at a time: no step of
Python is taken for each word. The numbers depend on the text alone, never on the process or on neighbouring documents.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np

from trivium.data.mixing import mixed

BLOCK_CHARACTERS = 1 << 16
"""Characters looked at together: their numbers stay in the cache of one core."""

_SEPARATOR, _LETTER, _ALONE = 0, 1, 2
_WITHOUT_SPACES = (
    *(range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800)),  # Thai and Lao, Burmese, Khmer
    *(range(0x3040, 0x3100), range(0x31F0, 0x3200), range(0xFF66, 0xFFA0)),  # Hiragana, Katakana
    *(range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xF900, 0xFB00)),  # Chinese characters
    range(0xD800, 0xDC00),  # the first half of what lies beyond 16 bits: rare ideographs, emoji
)
_BASE = 0xD6E8FEB86659FD93
_RUN_BASE = 0x9FB21C651E98DF25


def word_numbers(text: str) -> np.ndarray:
    """The words of ``text`` in order, [words] uint64."""
    parts = [hashes for hashes, _ in word_blocks([text])]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)


def word_blocks(texts: Iterable[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The words of many texts, a block of texts at a time.

    Yields:
        The words of the block, [words] uint64, and how many of them each of its texts has, [texts] int64.
    """
    for block in _blocks(texts):
        if len(block) == 1:
            hashes = _long_words(block[0])
            yield hashes, np.array([len(hashes)])
        else:
            units, ends = _joined(block)
            hashes, begins = _hashed(units)
            yield hashes, np.diff(np.searchsorted(begins, ends), prepend=0)


def runs(values: np.ndarray, length: int) -> np.ndarray:
    """A number for each run of ``length`` neighbours, [max(0, n - length + 1)] uint64: a polynomial, then mixed.

    Runs are put together from runs of 1, 2, 4, ... neighbours, so long ones cost little more than short ones.
    """
    if len(values) < length:
        return np.zeros(0, dtype=np.uint64)
    whole, covered = np.zeros(0, dtype=np.uint64), 0
    power, span = values.astype(np.uint64), 1
    rest = length
    while True:
        if rest & 1:
            # The `covered` neighbours come first, the `span` next ones are appended.
            whole = power if covered == 0 else _appended(whole, power[covered:], span)
            covered += span
        rest >>= 1
        if not rest:
            return mixed(whole[: len(values) - length + 1])
        power, span = _appended(power, power[span:], span), 2 * span


def shingles(hashes: np.ndarray, counts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The runs of ``length`` words of each text of a block; a shorter text with any word has one, of all its words.

    Args:
        hashes: words, as `word_blocks` gives them.
        counts: how many each text has.
        length: words in a shingle.

    Returns:
        The shingles, [shingles] uint64, and how many each text has, [texts] int64.
    """
    if length == 1:
        return mixed(hashes), counts
    # Every text is followed by length - 1 empty words, so that no run reaches into the next text.
    padding = length - 1
    padded = np.zeros(len(hashes) + padding * len(counts), dtype=np.uint64)
    padded[np.arange(len(hashes)) + np.repeat(np.arange(len(counts)) * padding, counts)] = hashes
    numbers = np.where(counts >= length, counts - padding, np.minimum(counts, 1))
    begins = np.cumsum(counts + padding) - (counts + padding)
    skipped = begins - (np.cumsum(numbers) - numbers)
    return runs(padded, length)[np.arange(numbers.sum()) + np.repeat(skipped, numbers)], numbers


def _appended(heads: np.ndarray, tails: np.ndarray, span: int) -> np.ndarray:
    """The numbers of runs put together from ``heads`` and the ``tails`` of ``span`` neighbours that follow them."""
    longer = heads[: len(tails)] * np.uint64(pow(_RUN_BASE, span, 2**64))
    longer += tails[: len(longer)]
    return longer


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Neighbouring texts of together at most `BLOCK_CHARACTERS`; a longer one stands alone."""
    block: list[str] = []
    size = 0
    for text in texts:
        if block and size + len(text) + 1 > BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
        block.append(text)
        size += len(text) + 1
    if block:
        yield block


def _joined(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The characters of all texts with a separator after each, and where each ends, [texts]."""
    # Capital letters of ASCII are folded by the table of values: the common text is copied once.
    folded = [text if text.isascii() else text.casefold() for text in texts]
    if all(text.isascii() for text in folded):
        encoded, dtype, separator = [text.encode("ascii") for text in folded], np.dtype(np.uint8), b"\n"
    else:
        encoded = [text.encode("utf-16-le", "surrogatepass") for text in folded]
        dtype, separator = np.dtype("<u2"), b"\n\x00"
    sizes = np.array([len(part) // dtype.itemsize + 1 for part in encoded])
    return np.frombuffer(separator.join([*encoded, b""]), dtype=dtype), np.cumsum(sizes)


def _long_words(text: str) -> np.ndarray:
    """The words of one text of any length, in pieces that are cut between words."""
    units, _ = _joined([text])
    found: list[np.ndarray] = []
    begin = 0
    while begin < len(units):
        piece = units[begin : begin + BLOCK_CHARACTERS]
        hashes, begins = _hashed(piece)
        # The last word may go on: it is read again. One that fills the whole piece is cut.
        if begin + len(piece) < len(units) and len(begins) and begins[-1] > 0:
            piece, hashes = piece[: begins[-1]], hashes[:-1]
        found.append(hashes)
        begin += len(piece)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)


def _hashed(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The words in ``units``, and where each begins: the sum of value(c_i) * BASE^i over i = 0 .. from its begin."""
    kind_of, value_of = _tables()
    powers, inverses = _powers(_table_size(len(units)))
    kinds = kind_of.take(units)
    letters = kinds == _LETTER
    letters[1:] &= kinds[:-1] == _SEPARATOR
    begins = np.flatnonzero(letters | (kinds == _ALONE))
    if not len(begins):
        return np.zeros(0, dtype=np.uint64), begins
    sums = value_of.take(units)
    sums *= powers[: len(units)]
    np.add.accumulate(sums, out=sums)
    # Separators count nothing: a sum may run up to the next word, and what precedes the first word is 0.
    before = np.zeros(len(begins) + 1, dtype=np.uint64)
    before[1:-1] = sums[begins[1:] - 1]
    before[-1] = sums[-1]
    return mixed(np.diff(before) * inverses[begins]), begins


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """The kind and the value of each UTF-16 unit: [65536] uint8 and uint64."""
    kinds = np.full(1 << 16, _SEPARATOR, dtype=np.uint8)
    for code in range(1 << 16):
        if unicodedata.category(chr(code))[0] in "LMN" or code == ord("_"):
            kinds[code] = _LETTER
    kinds[0xDC00:0xE000] = _LETTER  # the second half of a pair stays with the first
    for codes in _WITHOUT_SPACES:
        alone = [code for code in codes if unicodedata.category(chr(code))[0] != "M" and kinds[code] == _LETTER]
        kinds[alone] = _ALONE
    kinds[0xD800:0xDC00] = _ALONE
    values = mixed(np.arange(1 << 16, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    values[ord("A") : ord("Z") + 1] = values[ord("a") : ord("z") + 1]
    values[kinds == _SEPARATOR] = 0
    return kinds, values


def _table_size(units: int) -> int:
    """A block, or more where folding made the text longer: powers of two, so that few tables are made."""
    return max(BLOCK_CHARACTERS, 1 << (units - 1).bit_length() if units else 0)


@cache
def _powers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """BASE^i and BASE^-i modulo 2^64 for i below ``size``."""
    forward, backward = (np.full(size, base, dtype=np.uint64) for base in (_BASE, pow(_BASE, -1, 2**64)))
    forward[0] = backward[0] = 1
    return np.multiply.accumulate(forward), np.multiply.accumulate(backward)
