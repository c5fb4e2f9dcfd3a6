"""One text, or two that belong together, as one row of ids: [CLS] A [SEP] B [SEP], and what each id is.

Where the special tokens stand, and which type each part has, is what the file's post-processor says: BERT's, RoBERTa's
(<s> A </s></s> B </s>) and XLNet's (A <sep> B <sep> <cls>) all come out as `transformers` writes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import tokenizers

from trivium.errors import DataError

Text = str | tuple[str, str]
"""A text, or two that are read together (premise and hypothesis, question and passage)."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A row of ids. The three lists are as long as one another; ``offsets`` is empty where it was not asked for."""

    ids: list[int]
    """The ids of the text or texts, with the special tokens around them."""
    types: list[int]
    """The token type of each id: which part of the row it belongs to, as the family numbers them."""
    sides: list[int | None]
    """0 for ids of the first text, 1 for those of the second, None for special tokens."""
    offsets: list[tuple[int, int]]
    """The characters of its own text that each id stands for: from, to (excluded); (0, 0) for special tokens."""


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """What stands around one text, or around two."""

    parts: tuple[tuple[int | None, int, int], ...]
    """(side, id, type) in order: of a text its side and an id without meaning, of a special token None and its id."""

    @property
    def room(self) -> int:
        """Special tokens: what they take of the length of a row."""
        return sum(side is None for side, _, _ in self.parts)

    def join(self, sides: Sequence[list[int]], offsets: Sequence[list[tuple[int, int]]] | None) -> Joined:
        """The row of these texts, one a side."""
        ids: list[int] = []
        types: list[int] = []
        belongs: list[int | None] = []
        places: list[tuple[int, int]] = []
        for side, special, kind in self.parts:
            piece = [special] if side is None else sides[side]
            ids += piece
            types += [kind] * len(piece)
            belongs += [side] * len(piece)
            if offsets is not None:
                places += [(0, 0)] if side is None else offsets[side]
        return Joined(ids=ids, types=types, sides=belongs, offsets=places)


def pattern_of(backend: tokenizers.Tokenizer, *, pair: bool) -> Pattern:
    """What the post-processor of ``backend`` puts around one text, or a pair; read off from what it does to a letter.

    Without a post-processor two texts stand side by side.
    """
    encoding = backend.encode("a", "a") if pair else backend.encode("a")
    parts: list[tuple[int | None, int, int]] = []
    last: int | None = None
    for side, id, kind in zip(encoding.sequence_ids, encoding.ids, encoding.type_ids, strict=True):
        if side is None:
            parts.append((None, id, kind))
        elif side != last:  # a letter may be several pieces, and one text is one part
            parts.append((side, 0, kind))
        last = side
    return Pattern(parts=tuple(parts))


def cut_longest_first(lengths: Sequence[int], room: int) -> list[int]:
    """How much is kept of each of one or two texts so that at most ``room`` ids remain: the longer one is cut first.

    A text of less than half of the room stays whole. Where both are longer each gets half, and an odd id goes to the
    longer one, to the second where they are equal: `transformers`' "longest_first".
    """
    if sum(lengths) <= room:
        return list(lengths)
    if len(lengths) == 1:
        return [room]
    first, second = lengths
    half = min(first, second, room // 2)
    return [half, room - half] if first <= second else [room - half, half]


def require_room(longest: int | None, room: int, special: int) -> None:
    """Refuses rows in which nothing but special tokens would fit. Raises ``DataError``."""
    if longest is not None and room < 1:
        raise DataError(
            "no text fits into so short a row",
            received=f"{longest} tokens, {special} of which are special",
            fix=f"allow at least {special + 1} tokens",
        )
