"""How the pieces of a vocabulary file spell text: the bytes that each one adds.

Every kind writes its pieces in its own way: byte-level ones in an alphabet of 256 printable characters, SentencePiece
with ``▁`` for a space and ``<0xE2>`` for a byte, WordPiece with ``##`` where a word goes on, the first BPE with
``</w>`` where it ends. The decoder in `tokenizer.json` says which.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@cache
def byte_of_character() -> dict[str, int]:
    """The printable character that stands for each byte in a byte-level vocabulary file (GPT-2's table).

    Bytes that are printable in Latin-1 stand for themselves; the others take the code points from U+0100 on.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


@cache
def character_of_byte() -> dict[int, str]:
    """The other way round."""
    return {byte: character for character, byte in byte_of_character().items()}


def piece_bytes(piece: str) -> bytes:
    """The bytes that a piece of a byte-level vocabulary file stands for."""
    table = byte_of_character()
    return bytes(table[character] for character in piece)


def bytes_piece(data: bytes) -> str:
    """The piece that stands for bytes in a byte-level vocabulary file."""
    table = character_of_byte()
    return "".join(table[byte] for byte in data)


def decoder_steps(description: dict[str, Any]) -> list[dict[str, Any]]:
    """The decoder of a ``tokenizer.json`` as a list of steps, empty where there is none."""
    decoder = description.get("decoder")
    if decoder is None:
        return []
    return decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]


def spelling(description: dict[str, Any]) -> Callable[[str], bytes]:
    """From a piece of this ``tokenizer.json`` to the bytes it adds inside a text.

    What a decoder does to whole texts (dropping the space before the first word) is left out. A piece that a
    byte-level decoder cannot read, as an added token, stands for itself.
    """
    steps = decoder_steps(description)

    def spell(piece: str) -> bytes:
        for step in steps:
            match step["type"]:
                case "Replace" if "String" in step["pattern"]:
                    piece = piece.replace(step["pattern"]["String"], step["content"])
                case "Metaspace":
                    piece = piece.replace(step["replacement"], " ")
                case "WordPiece":
                    piece = piece.removeprefix(step["prefix"]) if piece.startswith(step["prefix"]) else f" {piece}"
                case "BPEDecoder" if piece.endswith(step["suffix"]):
                    piece = piece.removesuffix(step["suffix"]) + " "
                case "ByteFallback" if byte := _BYTE.fullmatch(piece):
                    return bytes([int(byte[1], 16)])
                case "ByteLevel" if byte_of_character().keys() >= set(piece):
                    return piece_bytes(piece)
                case _:
                    pass
        return piece.encode("utf-8")

    return spell
