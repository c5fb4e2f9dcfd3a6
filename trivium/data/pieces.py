"""What becomes one document of a shard: a text, neighbours of one group joined, or either part of a text that is split.

The parts of a module speak of the same things: read one after the other, each is the context of the next.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trivium.data.documents import Document
from trivium.data.splits import BOTH, VALIDATION

_BETWEEN = "\n\n\n"


@dataclass(kw_only=True)
class Piece:
    """One document of a shard, as text."""

    side: str
    """"train" or "validation"."""
    text: str
    """The text."""
    ids: list[str]
    """Of the documents in it."""
    source: str
    """The source they were read from."""
    licence: str | None
    """Theirs, where it is known."""
    group: str
    """Theirs."""
    language: str | None
    """Theirs, where it is known."""
    label: str | None
    """Theirs, where there is one."""


def pieces(kept: Iterable[tuple[Document, int]], *, join_groups: bool, held_out_tail: float) -> Iterator[Piece]:
    """The pieces of (document, what becomes of it), in their order.

    Args:
        kept: documents of training, of validation, or of both sides.
        join_groups: make one piece of neighbours that agree in everything but id and text.
        held_out_tail: the last part of a text on both sides that is held out.
    """
    last: Piece | None = None
    for document, fate in kept:
        for side, text in _sides(document.text, fate, held_out_tail):
            piece = _piece(document, side, text)
            if join_groups and last is not None and _belong_together(last, piece):
                last.text += _BETWEEN + text
                last.ids.append(document.id)
                continue
            if last is not None:
                yield last
            last = piece
    if last is not None:
        yield last


def head(text: str, held_out_tail: float) -> str:
    """What is trained on of a text on both sides."""
    return text[: int(len(text) * (1 - held_out_tail))]


def _sides(text: str, fate: int, tail: float) -> list[tuple[str, str]]:
    if fate != BOTH:
        return [("validation" if fate == VALIDATION else "train", text)]
    first = head(text, tail)
    return [(side, part) for side, part in (("train", first), ("validation", text[len(first) :])) if part]


def _piece(document: Document, side: str, text: str) -> Piece:
    return Piece(
        side=side,
        text=text,
        ids=[document.id],
        source=document.origin,
        licence=document.licence,
        group=document.group,
        language=document.language,
        label=document.label,
    )


def _belong_together(left: Piece, right: Piece) -> bool:
    names = ("group", "source", "side", "licence", "language", "label")
    return all(getattr(left, name) == getattr(right, name) for name in names)
