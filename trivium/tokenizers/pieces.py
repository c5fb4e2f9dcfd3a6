"""See a text as its tokens: every piece with its exact place, coloured in a terminal or in a web page, or plain."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from trivium.tokenizers.protocol import Tokenizer
from trivium.tokenizers.tokenizer import encodable

COLOURS = ("#cfe8ff", "#ffe3c2", "#d9f2d0", "#f6d5ef", "#fff3b0", "#d7dcf7")
"""Backgrounds that neighbouring pieces take in turn; black on each has a contrast above 12 : 1."""
GROUNDS = ("bright_cyan", "bright_yellow", "bright_green", "bright_magenta")
"""The same for a terminal, by names: one of 16 colours would show those above as one white."""
_LONE_BYTE = re.compile("[\udc80-\udcff]")
# With them what is not seen: zero-width space, marks and overrides of direction, the byte order mark, separators.
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_STYLE = (
    "white-space:pre-wrap;font-family:ui-monospace,monospace;line-height:1.7;color:#000;background:#fff;padding:.5em"
)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One token of a text."""

    id: int
    text: str
    """What it stands for; a byte that is only a part of a character is written ``<0xE2>``."""
    start: int
    """Where it begins, in bytes of the text's UTF-8."""
    end: int
    """Where it ends."""
    special: bool = False
    """A special token, which no user's text can be."""


def pieces(tokenizer: Tokenizer, text: str, special: bool = False) -> list[Piece]:
    """The tokens of ``text`` in order, as ``tokenizer.encode(text, special)`` gives them.

    Where the vocabulary spells the text byte by byte, places are exact inside a character too, and the pieces cover
    the text without a gap. Where text is normalised or words are unknown, a piece's place is that of the characters it
    was made from, white space between words belongs to none, and its text is what stands there.
    """
    text = encodable(text)
    data = text.encode("utf-8")
    ids = tokenizer.encode(text, special)
    spelt = [tokenizer.token_bytes(id) for id in ids]
    specials = set(tokenizer.special_tokens.values())
    if b"".join(spelt) in (data, b" " + data):
        # SentencePiece puts a space before the text, which no place in it answers to.
        before = sum(map(len, spelt)) - len(data)
        places = list(pairwise(max(0, place - before) for place in accumulate(map(len, spelt), initial=0)))
    else:
        ids, offsets = tokenizer.offsets(text, special)
        byte_of = list(accumulate((len(character.encode("utf-8")) for character in text), initial=0))
        places = [(byte_of[start], byte_of[end]) for start, end in offsets]
    return [
        Piece(id=id, text=readable_bytes(data[start:end]), start=start, end=end, special=id in specials)
        for id, (start, end) in zip(ids, places, strict=True)
    ]


def with_ids(found: Sequence[Piece], width: int) -> Text:
    """The pieces for `rich` in changing colours, each with its id below it, in lines of at most ``width`` columns.

    Line ends and tabs are shown (``↵``, ``⇥``), and nothing of the text is obeyed.
    """
    whole = Text()
    above, below, used = Text(), Text(), 0
    for number, piece in enumerate(found):
        shown, id = printable(piece.text).replace("\n", ""), str(piece.id)
        columns = max(cell_len(shown), len(id)) + 1
        if used and used + columns > width:
            whole.append_text(Text("\n").join((above, below, Text("\n"))))
            above, below, used = Text(), Text(), 0
        above.append(shown, _style(number, piece)).append(" " * (columns - cell_len(shown)))
        below.append(id.ljust(columns), "dim")
        used += columns
    return whole.append_text(Text("\n").join((above, below))) if used else whole


def as_plain(found: Sequence[Piece]) -> str:
    """The pieces on one line with bars between them, and on the next their ids."""
    shown = "|".join(printable(piece.text).replace("\n", "") for piece in found)
    return f"{shown}\n{' '.join(str(piece.id) for piece in found)}"


def as_html(found: Sequence[Piece]) -> str:
    """The pieces as one HTML element that needs nothing else; pointing at a piece shows its id and place."""
    spans = []
    for number, piece in enumerate(found):
        colour = COLOURS[number % len(COLOURS)]
        outline = ";outline:2px solid #b00020" if piece.special else ""
        hint = f"id {piece.id}, bytes {piece.start} to {piece.end}" + (", special" if piece.special else "")
        shown = html.escape(printable(piece.text, tab="\t"))
        spans.append(f'<span style="background:{colour}{outline}" title="{hint}">{shown}</span>')
    return f'<div style="{_STYLE}">{"".join(spans)}</div>'


def readable_bytes(data: bytes) -> str:
    """Text, the bytes that are no whole character written out: ``<0xE2>``."""
    text = data.decode("utf-8", "surrogateescape")
    return _LONE_BYTE.sub(lambda match: f"<0x{ord(match[0]) - 0xDC00:02X}>", text)


def printable(text: str, *, tab: str = "⇥") -> str:
    """Text that can be looked at and does nothing: a terminal would obey control characters and marks of direction.

    Line ends and tabs are shown by a sign, control characters by the picture that Unicode has for them, and what is not
    seen, by its number.
    """

    def picture(match: re.Match[str]) -> str:
        point = ord(match[0])
        return chr(0x2400 + point) if point < 0x20 else f"<U+{point:04X}>"

    return _CONTROL.sub(picture, text).replace("\t", tab).replace("\n", "↵\n")


def _style(number: int, piece: Piece) -> Style:
    return Style(color="black", bgcolor=GROUNDS[number % len(GROUNDS)], bold=piece.special, reverse=piece.special)
