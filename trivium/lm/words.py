"""Words with their places in a text, for models that tag words; and what their tags mark in it."""

import re
import unicodedata
from collections.abc import Sequence

from trivium.data.spans import Scheme, is_tag, spans
from trivium.lm.protocol import Span

_PIECE = re.compile(r"\S+")
_BEGINS_A_NAME = "@#"

Place = tuple[int, int]
"""First character, one past the last."""


def cut_into_words(text: str | Sequence[str]) -> tuple[str, list[str], list[Place]]:
    """(text, its words, the place of each in it). A list of words is taken as it is, with a space between each two.

    A word of a text is what stands between white space, less the punctuation marks and signs at its two ends, each of
    which is a word of its own: "(in Rome.)" has five words, and "can't", "e-mail" and the "U.S" of "U.S." are one each.
    An @ or a # before a letter or a figure belongs to its word. Marks are those of Unicode's categories P and S,
    so that scripts whose vowels are signs of their own keep them.
    """
    if isinstance(text, str):
        places = _places(text)
        return text, [text[start:end] for start, end in places], places
    words, places, at = list(text), [], 0
    for word in words:
        places.append((at, at + len(word)))
        at += len(word) + 1
    return " ".join(words), words, places


def marked_spans(text: str, places: Sequence[Place], tags: Sequence[str], *, scheme: Scheme | None) -> list[Span]:
    """The spans of ``text`` that the tags of its words mark in the scheme of the model's labels; None marks nothing.

    Read strictly, by the function that ``evaluation.metrics.entity_f1`` counts with: an I-TYPE that goes on with
    nothing marks nothing, and neither does, in IOBES, a B-TYPE that no E-TYPE ends. Tags that are none of the scheme
    mark nothing.
    """
    if scheme is None:
        return []
    read = [tag if is_tag(tag, scheme) else "O" for tag in tags]
    found = [(kind, places[first][0], places[end - 1][1]) for kind, first, end in spans(read, scheme=scheme)]
    return [Span(label=kind, start=start, end=end, text=text[start:end]) for kind, start, end in found]


def _places(text: str) -> list[Place]:
    places: list[Place] = []
    for piece in _PIECE.finditer(text):
        start, end = piece.span()
        first, last = start, end
        while first < end and _is_mark(text[first]):
            first += 1
        while last > first and _is_mark(text[last - 1]):
            last -= 1
        if start < first < end and text[first - 1] in _BEGINS_A_NAME:
            first -= 1
        places += [(at, at + 1) for at in range(start, first)]
        places += [(first, last)] if first < last else []
        places += [(at, at + 1) for at in range(last, end)]
    return places


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
