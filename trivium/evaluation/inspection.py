"""Looking inside a model that reads left to right: what each token cost, what it expects, where it looks."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from trivium.tokenizers import Tokenizer

_LN2 = math.log(2)


@torch.no_grad()
def token_bits(
    model: nn.Module, documents: Sequence[Sequence[int]], *, context_tokens: int, rows: int = 16
) -> list[np.ndarray]:
    """-log2 p of every token but the first of each document, [tokens - 1] float64 each.

    A document is read up to its first `context_tokens` + 1 tokens, so that each token is predicted from all before it.
    """
    cut = [np.asarray(document[: context_tokens + 1], dtype=np.int64) for document in documents]
    order = sorted(range(len(cut)), key=lambda index: len(cut[index]))
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        bits = _padded_bits(model, [cut[index] for index in chosen])
        found |= dict(zip(chosen, bits, strict=True))
    return [found[index] for index in range(len(cut))]


@torch.no_grad()
def expectations(model: nn.Module, ids: Sequence[int], count: int) -> list[tuple[int, float]]:
    """The `count` likeliest tokens after `ids`, each with its probability."""
    logits = _logits(model, torch.tensor([list(ids)]))[0, -1]
    top = torch.softmax(logits, dim=-1).topk(count)
    return list(zip(top.indices.tolist(), top.values.tolist(), strict=True))


@torch.no_grad()
def attention_weights(model: nn.Module, ids: Sequence[int]) -> list[Tensor]:
    """Attention of each layer over `ids`, [H, T, T] each: row t is where position t looks."""
    output = model(torch.tensor([list(ids)], device=_device(model)), collect=("attention",))
    return [weights[0].float().cpu() for weights in output.collected["attention"]]


def telling_heads(weights: Sequence[Tensor], count: int) -> list[tuple[int, int]]:
    """(layer, head) of `count` heads in which most can be seen: sure of where they look, and not always the same way.

    A head that looks at the piece before, or at the beginning, whatever the text says, is sure and dull. So a head is
    rated by the weight of its strongest look beyond those two, averaged over the positions; one head a layer at most.
    """
    rated = []
    for layer, heads in enumerate(weights):
        for head, square in enumerate(heads):
            far = torch.tril(square, diagonal=-2)
            far[:, 0] = 0
            rated.append((float(far.amax(-1)[3:].mean()), layer, head))
    best: dict[int, tuple[float, int]] = {}
    for rating, layer, head in rated:
        best[layer] = max(best.get(layer, (0.0, 0)), (rating, head))
    chosen = sorted(best, key=lambda layer: -best[layer][0])[:count]
    return [(layer, best[layer][1]) for layer in sorted(chosen)]


@torch.no_grad()
def nearest_pieces(model: nn.Module, token: int, count: int, among: Sequence[int]) -> list[tuple[int, float]]:
    """The `count` tokens of `among` whose embeddings point most nearly where that of `token` does, with the cosine."""
    ids = torch.tensor([[*among, token]], device=_device(model))
    vectors = model.embed(ids)[0].float()
    # What all embeddings share (how often a piece is used) would make everything alike.
    vectors = nn.functional.normalize(vectors - vectors.mean(0), dim=-1)
    cosines = vectors[:-1] @ vectors[-1]
    cosines[[place for place, other in enumerate(among) if other == token]] = -2
    top = cosines.topk(min(count, len(among)))
    return [(among[place], cosine) for place, cosine in zip(top.indices.tolist(), top.values.tolist(), strict=True)]


KINDS = ("line break and indent", "space", "first letter of a word", "letter within a word", "digit", "other sign")
"""Kinds of characters, for `kinds_of_bytes`."""


def kinds_of_bytes(pieces: Sequence[bytes]) -> list[np.ndarray]:
    """For each piece of a text, the kind of each of its bytes as an index into `KINDS`."""
    kinds: list[np.ndarray] = []
    last, after_break = -1, True
    for piece in pieces:
        found = np.zeros(len(piece), dtype=np.int64)
        for place, byte in enumerate(piece):
            last = _kind(byte, last, after_break)
            after_break = byte == 0x0A or (after_break and byte in b" \t")
            found[place] = last
        kinds.append(found)
    return kinds


def bits_by_kind(tokenizer: Tokenizer, documents: Sequence[Sequence[int]], bits: Sequence[np.ndarray]) -> np.ndarray:
    """Bits per byte of each of `KINDS`, [kinds]; the bits of a token are shared out evenly over its bytes.

    `bits[i]` are those of the tokens of `documents[i]` after the first. NaN where a kind does not occur.
    """
    spent, size = np.zeros(len(KINDS)), np.zeros(len(KINDS))
    special = set(tokenizer.special_tokens.values())
    for document, cost in zip(documents, bits, strict=True):
        tokens = [int(token) for token in document[1 : len(cost) + 1]]
        pieces = [b"" if token in special else tokenizer.token_bytes(token) for token in tokens]
        for kinds, value in zip(kinds_of_bytes(pieces), cost, strict=True):
            if len(kinds):
                np.add.at(spent, kinds, value / len(kinds))
                np.add.at(size, kinds, 1)
    return np.divide(spent, size, out=np.full(len(KINDS), np.nan), where=size > 0)


def _kind(byte: int, last: int, after_break: bool) -> int:
    if byte == 0x0A or (after_break and byte in b" \t"):
        return 0
    if byte in b" \t\r":
        return 1
    # A byte above ASCII is part of a letter, in all but rare signs.
    if chr(byte).isalpha() or byte >= 0x80:
        return 3 if last in (2, 3) else 2
    return 4 if 0x30 <= byte <= 0x39 else 5


def _padded_bits(model: nn.Module, documents: list[np.ndarray]) -> list[np.ndarray]:
    lengths = torch.tensor([max(len(document) - 1, 0) for document in documents])
    ids = torch.zeros(len(documents), int(lengths.max()) + 1, dtype=torch.long)
    for row, document in enumerate(documents):
        ids[row, : len(document)] = torch.from_numpy(document)
    ids, lengths = ids.to(_device(model)), lengths.to(_device(model))
    hidden = model.eval()(ids[:, :-1], lengths=lengths).hidden
    bits = -model.head.log_prob(hidden, ids[:, 1:]).double().cpu() / _LN2
    return [bits[row, :length].numpy() for row, length in enumerate(lengths.tolist())]


def _logits(model: nn.Module, ids: Tensor) -> Tensor:
    return model.head(model.eval()(ids.to(_device(model))).hidden).float().cpu()


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
