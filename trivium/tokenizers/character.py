"""A vocabulary of single characters (Unicode code points): what a first language model is usually trained on."""

from collections.abc import Iterable

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models

from trivium.tokenizers.special import SpecialTokens
from trivium.tokenizers.words import most_frequent

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""What a character outside the vocabulary becomes. It decodes to itself, so a reader sees that something was lost."""


def train_character(texts: Iterable[str], *, vocabulary_size: int | None, special: SpecialTokens) -> Tokenizer:
    """A token for each character of ``texts``; with ``vocabulary_size``, for the most frequent ones that fit in it.

    The first ids are the special tokens and `UNKNOWN`; the characters follow in the order of their code points.
    """
    counts: dict[int, int] = {}
    for text in texts:
        for point, count in zip(*np.unique(code_points(text), return_counts=True), strict=True):
            counts[int(point)] = counts.get(int(point), 0) + int(count)
    counts.pop(ord(UNKNOWN), None)
    reserved = [*special, UNKNOWN]
    otherwise = "give every character its token"
    frequent = most_frequent(counts, vocabulary_size, len(reserved), unit="character", otherwise=otherwise)
    pieces = [*reserved, *map(chr, sorted(frequent))]
    # BPE without merges is the model of `tokenizers` that looks up one character at a time with no pre-tokeniser.
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], unk_token=UNKNOWN))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def code_points(text: str) -> np.ndarray:
    """The code points of ``text``, [characters] uint32. Lone surrogates, which no encoding can carry, are `UNKNOWN`."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    surrogate = (points >= 0xD800) & (points < 0xE000)
    return np.where(surrogate, np.uint32(ord(UNKNOWN)), points) if surrogate.any() else points


class CharacterTable:
    """Code point to id by one array look-up: a million characters in milliseconds."""

    def __init__(self, vocabulary: dict[str, int], unknown_id: int):
        characters = {ord(piece): i for piece, i in vocabulary.items() if len(piece) == 1}
        self._ids = np.full(max(characters, default=0) + 2, unknown_id, dtype=np.int64)
        for point, identifier in characters.items():
            self._ids[point] = identifier

    def encode(self, text: str) -> list[int]:
        """One id a character."""
        # Code points beyond the table share its last entry, which is the unknown id.
        return self._ids[np.minimum(code_points(text), len(self._ids) - 1)].tolist()
