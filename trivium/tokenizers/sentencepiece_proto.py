"""The fields of a SentencePiece model file that encoding needs, read without protobuf.

Field numbers are those of `sentencepiece_model.proto` (Kudo, Apache-2.0); absent fields have the defaults given there.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""The types of pieces."""
UNIGRAM, BPE = 1, 2
"""The types of models that are read."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One line of the vocabulary."""

    text: str
    score: float
    type: int


@dataclass(frozen=True, kw_only=True)
class SentencePieceModel:
    """A vocabulary, and how text is prepared for it."""

    pieces: tuple[Piece, ...]
    model_type: int
    byte_fallback: bool
    """Characters outside the vocabulary are spelt in pieces ``<0x00>`` to ``<0xFF>``."""
    unk_id: int
    bos_id: int
    eos_id: int
    pad_id: int
    """-1 where there is none."""
    charsmap: bytes
    """Compiled normalisation rules; empty where text is taken as it is."""
    add_dummy_prefix: bool
    """A space is put before the text."""
    remove_extra_whitespaces: bool
    """Spaces at the ends are dropped and runs of them become one."""


def parse(data: bytes) -> SentencePieceModel:
    """The model in ``data``.

    Raises:
        ValueError: it is no such file, or not whole.
    """
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            pieces.append(_piece(value))
        elif number == 2 and isinstance(value, bytes):
            trainer = dict(_fields(value))
        elif number == 3 and isinstance(value, bytes):
            normalizer = dict(_fields(value))
    if not pieces:
        raise ValueError("no pieces")
    charsmap = normalizer.get(2, b"")
    return SentencePieceModel(
        pieces=tuple(pieces),
        model_type=_integer(trainer, 3, UNIGRAM),
        byte_fallback=bool(_integer(trainer, 35, 0)),
        unk_id=_integer(trainer, 40, 0),
        bos_id=_integer(trainer, 41, 1),
        eos_id=_integer(trainer, 42, 2),
        pad_id=_integer(trainer, 43, -1),
        charsmap=charsmap if isinstance(charsmap, bytes) else b"",
        add_dummy_prefix=bool(_integer(normalizer, 3, 1)),
        remove_extra_whitespaces=bool(_integer(normalizer, 4, 1)),
    )


def _piece(data: bytes) -> Piece:
    fields = dict(_fields(data))
    text, score = fields.get(1, b""), fields.get(2, b"\0\0\0\0")
    if not isinstance(text, bytes) or not isinstance(score, bytes) or len(score) != 4:
        raise ValueError("a piece without text or score")
    return Piece(text=text.decode("utf-8"), score=struct.unpack("<f", score)[0], type=_integer(fields, 3, NORMAL))


def _integer(fields: dict[int, int | bytes], number: int, default: int) -> int:
    value = fields.get(number, default)
    if not isinstance(value, int):
        raise ValueError(f"field {number} is not an integer")
    return value - (1 << 64) if value >= 1 << 63 else value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message: integers as int, everything else as its bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire = key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {position}")
        if position + size > len(data):
            raise ValueError(f"cut off at byte {len(data)}")
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError(f"cut off at byte {len(data)}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"an integer of more than 64 bits at byte {position}")
