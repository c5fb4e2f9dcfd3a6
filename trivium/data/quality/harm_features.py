"""What the classifier of harmful text looks at: hashed n-grams of words and of characters."""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from trivium.data.mixing import mixed
from trivium.data.quality.ngrams import ngram_hashes

BUCKETS = 1 << 18
"""N-grams share this many places."""
_LONGEST_CHARACTER_NGRAM = 5
_BATCH_CHARACTERS = 1 << 17
"""So many characters are looked at together: it bounds the memory."""

_MENTION = re.compile(r"@\w+")
_ADDRESS = re.compile(r"https?://\S*")
_DIGIT = re.compile(r"\d")
_NOT_IN_WORDS = re.compile(r"[\W_]+")


def batches(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """The texts in order, so many at once as have the characters of a batch, and the number of the first."""
    start = characters = 0
    for number, text in enumerate(texts):
        characters += len(text)
        if characters >= _BATCH_CHARACTERS or number == len(texts) - 1:
            yield start, texts[start : number + 1]
            start, characters = number + 1, 0


def features(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The n-grams of each text: row, bucket and 1 + ln(count). Of words one and two, of characters two to five."""
    codes, rows, place = _joined([f" {_plain(text)} " for text in texts])
    found = [
        (rows[place >= length - 1], hashes[place >= length - 1])
        for length, hashes in enumerate(ngram_hashes(codes, _LONGEST_CHARACTER_NGRAM), start=1)
        if length > 1
    ]
    codes, rows, place = _joined(["".join(f" {word}" for word in words(text)) for text in texts])
    begins = np.flatnonzero(codes == ord(" "))
    if len(begins):
        # Each character with its place in the word, scrambled and added up: a hash of all words at once.
        inside = np.arange(len(codes)) - np.repeat(begins, np.diff(np.append(begins, len(codes))))
        single = mixed(np.add.reduceat(mixed(codes + (inside.astype(np.uint64) << np.uint64(32))), begins))
        pairs = mixed(single[:-1] * np.uint64(3) + single[1:])
        row = rows[begins]
        found += [(row, single), (row[1:][row[1:] == row[:-1]], pairs[row[1:] == row[:-1]])]
    buckets = np.concatenate([hashes for _, hashes in found]) >> np.uint64(64 - BUCKETS.bit_length() + 1)
    keys = np.concatenate([row for row, _ in found]) * BUCKETS + buckets.astype(np.int64)
    keys, counts = np.unique(keys, return_counts=True)
    return keys // BUCKETS, keys % BUCKETS, 1 + np.log(counts)


def words(text: str) -> list[str]:
    """The words of a text, in lower case and without punctuation; apostrophes go without a trace."""
    return _NOT_IN_WORDS.sub(" ", _plain(text).replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")).split()


def _plain(text: str) -> str:
    """Lower case, names of people and addresses gone, digits 0, white space single."""
    text = _ADDRESS.sub("http", _MENTION.sub("@", text.casefold()))
    return " ".join(_DIGIT.sub("0", text).split())


def _joined(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The characters of all texts, for each the number of its text and its place there."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    place = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return codes, np.repeat(np.arange(len(texts)), lengths), place
