"""Words as the pieces of a vocabulary, and batches of tagged sentences.

stretches = read_words(tokenizer, [["Rome", "is", "old"]])[0]       # the ids, and where each word begins in them
batch = tagged_batch([TaggedExample(text=stretches[0], tags=[1, 0, 0])], [0])

Every word is encoded by itself, so that any vocabulary will do, and its tag is read at its first piece (Devlin et al.
2019, section 5.3). Training and prediction read words by the one function here.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from trivium.data.batches import TaggedBatch
from trivium.data.bucketed import BucketedSource
from trivium.data.padding import padded
from trivium.errors import DataError
from trivium.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class WordPieces:
    """Words as a network reads them."""

    ids: Sequence[int]
    """The pieces of all words, between those that the vocabulary puts around a text."""
    places: Sequence[int]
    """For each word, where in ``ids`` it is read."""


@dataclass(frozen=True, kw_only=True)
class TaggedExample:
    """A text, or a stretch of one, and the tag of each of its words."""

    text: WordPieces
    tags: Sequence[int]
    """Class ids, as many as words; at least one."""


def read_words(
    tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], *, longest: int | None = None
) -> list[list[WordPieces]]:
    """For each sentence the stretches that it is read in: one, or several where it has more than ``longest`` pieces.

    A sentence is cut between words; of a word that is longer by itself, the beginning is read. Before every word
    stands a space, as in running text; where the vocabulary makes a piece of its own of that, the word is read at
    the piece after it.

    Raises:
        DataError: a word of which the vocabulary makes nothing and has no token for the unknown.
    """
    pieces = _Pieces(tokenizer, sentences)
    before, after = tokenizer.prefix_ids, tokenizer.suffix_ids
    room = None if longest is None else max(1, longest - len(before) - len(after))
    return [
        [
            WordPieces(ids=[*before, *ids, *after], places=[len(before) + place for place in places])
            for ids, places in _stretches([pieces.of(word) for word in words], room)
        ]
        for words in sentences
    ]


class _Pieces:
    """The pieces of each different word, and which of them it is read at."""

    def __init__(self, tokenizer: Tokenizer, sentences: Sequence[Sequence[str]]) -> None:
        words = list(dict.fromkeys(word for sentence in sentences for word in sentence))
        found = tokenizer.encode_batch([" " + word for word in words])
        self._blank: dict[int, bool] = {}
        self._tokenizer = tokenizer
        self._of = {word: self._read_at(word, ids) for word, ids in zip(words, found, strict=True)}

    def of(self, word: str) -> tuple[list[int], int]:
        return self._of[word]

    def _read_at(self, word: str, ids: list[int]) -> tuple[list[int], int]:
        if not ids:  # a character that the vocabulary's rules drop, or no character at all
            if self._tokenizer.unk_id is None:
                raise DataError("a word has no pieces in this vocabulary", received=repr(word), fix="leave it out")
            return [self._tokenizer.unk_id], 0
        return ids, next((place for place, id in enumerate(ids) if not self._is_blank(id)), 0)

    def _is_blank(self, id: int) -> bool:
        if id not in self._blank:
            self._blank[id] = not self._tokenizer.token_bytes(id).strip()
        return self._blank[id]


def _stretches(words: Sequence[tuple[list[int], int]], room: int | None) -> Iterator[tuple[list[int], list[int]]]:
    """(ids, places) of as many words at a time as have ``room``."""
    ids: list[int] = []
    places: list[int] = []
    for pieces, read_at in words:
        if room is not None and len(pieces) > room:
            pieces, read_at = pieces[:room], min(read_at, room - 1)
        if room is not None and places and len(ids) + len(pieces) > room:
            yield ids, places
            ids, places = [], []
        places.append(len(ids) + read_at)
        ids += pieces
    if places:
        yield ids, places


# Batches -------------------------------------------------------------------------------------------------------------


def tagged_source(
    examples: Sequence[TaggedExample], *, rows: int, seed: int = 0, rank: int = 0, world: int = 1
) -> BucketedSource[TaggedBatch]:
    """Batches of examples of about one length, every one once an epoch.

    Raises:
        DataError: no example.
        ConfigError: there are fewer rows than ranks.
    """
    return BucketedSource(
        [len(example.text.ids) for example in examples],
        partial(tagged_batch, examples),
        fingerprint=_fingerprint(examples),
        rows=rows,
        seed=seed,
        rank=rank,
        world=world,
    )


def tagged_batch(examples: Sequence[TaggedExample], indices: Sequence[int] | np.ndarray) -> TaggedBatch:
    """The examples at ``indices`` as one batch."""
    chosen = [examples[index] for index in indices]
    tokens, lengths = padded([example.text.ids for example in chosen])
    words, word_lengths = padded([example.text.places for example in chosen])
    tags, _ = padded([example.tags for example in chosen])
    return TaggedBatch(tokens, lengths, words, word_lengths, tags)


def _fingerprint(examples: Sequence[TaggedExample]) -> str:
    """Of all ids, places and tags, each with its length: what a resumed run must be given again."""
    digest = hashlib.blake2b(digest_size=16)
    for example in examples:
        for numbers in (example.text.ids, example.text.places, example.tags):
            digest.update(np.array([len(numbers), *numbers], dtype=np.int64).tobytes())
    return digest.hexdigest()
