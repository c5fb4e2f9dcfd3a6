"""tiktoken's files: the bytes of each token in base64 and its rank, which is its id and the priority of its merge.

The file leaves out two things. The merges are found again: a token's bytes, merged by all tokens of lower rank, come to
two pieces, and those are the pair. How text is cut before merging, and the special tokens, are known by the
encoding's name.
"""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models

from trivium.errors import TokenizerError
from trivium.tokenizers.byte_bpe import GPT2_PATTERN, WORD_PATTERN, byte_level_tokenizer
from trivium.tokenizers.files import CONFIG, damaged, read_bytes
from trivium.tokenizers.spelling import bytes_piece

_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_O200K_PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    )
)
_END = "<|endoftext|>"


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What an encoding's file does not say."""

    pattern: str
    """The regular expression that text is cut by."""
    special: dict[str, int]
    """Special tokens and their ids."""


_GPT2 = Encoding(pattern=GPT2_PATTERN, special={_END: 50256})
_FIM = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
ENCODINGS = {
    "gpt2": _GPT2,
    "r50k_base": _GPT2,
    "p50k_base": _GPT2,
    "p50k_edit": Encoding(
        pattern=GPT2_PATTERN, special={_END: 50256, **{token: 50281 + i for i, token in enumerate(_FIM)}}
    ),
    "cl100k_base": Encoding(
        pattern=WORD_PATTERN,
        special={_END: 100257, **{token: 100258 + i for i, token in enumerate(_FIM)}, "<|endofprompt|>": 100276},
    ),
    "o200k_base": Encoding(pattern=_O200K_PATTERN, special={_END: 199999, "<|endofprompt|>": 200018}),
}
"""The encodings that OpenAI published with tiktoken (`tiktoken_ext/openai_public.py`, MIT), by file name."""


def from_ranks(path: Path, *, pattern: str | None) -> tuple[Tokenizer, dict[str, Any]]:
    """The backend and the configuration of a `.tiktoken` file.

    Ids that neither the file nor the encoding gives a meaning (cl100k_base has sixteen) become special tokens named
    ``<|unused 100256|>``: a `tokenizer.json` has no holes.

    Raises:
        TokenizerError: the file is damaged, or its name tells no encoding and no ``pattern`` is given.
    """
    ranks = _ranks(path)
    known = ENCODINGS.get(path.stem)
    if known is None and pattern is None:
        raise TokenizerError(
            "the name of this file does not tell how its text is cut into words",
            received=path.name,
            expected=" or ".join(f"{name}.tiktoken" for name in ENCODINGS),
            fix="give the regular expression: load(path, pattern=...)",
        )
    encoding = known or Encoding(pattern="", special={})
    vocabulary = {bytes_piece(token): rank for token, rank in ranks.items()}
    taken = set(vocabulary.values())
    special = {token: id for token, id in encoding.special.items() if id not in taken}
    taken |= set(special.values())
    special |= {f"<|unused {id}|>": id for id in range(max(taken)) if id not in taken}
    merges, whole = _merges(ranks)
    try:
        model = models.BPE({**vocabulary, **special}, merges, ignore_merges=whole)
    except Exception as error:  # the Rust library raises plain Exception
        raise damaged(path, str(error)) from error
    backend = byte_level_tokenizer(model, encoding.pattern if pattern is None else pattern)
    ordered = sorted(special, key=lambda token: special[token])
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ordered])
    ends = {"bos_token": _END, "eos_token": _END} if _END in special else {}
    return backend, {**CONFIG, **ends}


def is_ranks(content: bytes) -> bool:
    """True for the lines of a tiktoken file, whatever its name."""
    token, _, rank = content[:200].split(b"\n")[0].partition(b" ")
    return bool(token) and rank.strip().isdigit()


def _ranks(path: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(read_bytes(path).splitlines(), 1):
        if not line:
            continue
        token, _, rank = line.partition(b" ")
        try:
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (binascii.Error, ValueError) as error:
            raise damaged(path, f"line {number} is not a token in base64 and its rank") from error
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise damaged(path, "not every byte has a token")
    return ranks


def _merges(ranks: dict[bytes, int]) -> tuple[list[tuple[str, str]], bool]:
    """The pair that makes each token, in the order of rank; and True if some token has none.

    Such a token is found only where it is a whole word (tiktoken looks words up before it merges). Then every pair
    that joins to a token is listed, which is tiktoken's own rule: it asks for the rank of what two neighbours join to.
    """
    pieces = {token: bytes_piece(token) for token in ranks}
    merges, whole = [], False
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            parts = _merged_below(token, rank, ranks)
            whole |= len(parts) != 2
            merges.append(tuple(pieces.get(part, "") for part in parts))
    if not whole:
        return merges, False
    every = [
        (pieces[token[:cut]], pieces[token[cut:]])
        for token, _ in sorted(ranks.items(), key=lambda item: item[1])
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    return every, True


def _merged_below(token: bytes, limit: int, ranks: dict[bytes, int]) -> list[bytes]:
    """The pieces of ``token`` when only tokens of a rank below ``limit`` are merged, lowest first."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best, place = limit, -1
        for i in range(len(parts) - 1):
            rank = ranks.get(parts[i] + parts[i + 1], limit)
            if rank < best:
                best, place = rank, i
        if place < 0:
            break
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts
