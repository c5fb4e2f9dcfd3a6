"""softmax(scores) v for given queries, keys and values: by PyTorch's kernel where it can, else written out.

The kernel knows a scale, a mask and what is added to the scores. What it does not know is computed in pieces of the
queries, so that no more than a piece of the scores is held at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

Bias = Callable[[Int[Tensor, "..."], Int[Tensor, "..."]], Float[Tensor, "..."]]
"""``bias(query_positions [.., T], key_positions [.., S]) -> [.., H, T, S]``, added to the scores (T5, ALiBi)."""

PIECE = 256
"""Queries whose scores are held at a time."""


@dataclass(frozen=True)
class Scoring:
    """What becomes of the scores q k^T before they weigh the values, beside what a layout hides."""

    scale: float | None = None
    """They are multiplied by it; K ** -0.5 where not given."""
    bias: Bias | None = None
    """Added to them, by position."""
    window: int | None = None
    """Only keys so near are seen: a token of a decoder sees itself and the ``window - 1`` before it, one of an encoder
    what is at most so many positions away."""
    soft_cap: float | None = None
    """cap * tanh(score / cap) (Gemma 2, section 2)."""
    sinks: Float[Tensor, "H"] | None = None
    """For each head the score of a key that has no value: what is given to it is given to nothing (gpt-oss)."""
    dropout: float = 0.0
    """On the probabilities."""

    @property
    def plain(self) -> bool:
        """Whether PyTorch's kernel can do it."""
        return self.soft_cap is None and self.sinks is None


PLAIN = Scoring()
"""Nothing but the scaled scores."""


def weigh(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S W"],
    how: Scoring,
    *,
    mask: Bool[Tensor, "... S"] | None = None,
    added: Float[Tensor, "... S"] | None = None,
    causal: bool = False,
) -> Float[Tensor, "B H T W"]:
    """What the queries gather: of all keys, of those where ``mask`` is true, or (``causal``, T = S) of their own and
    earlier ones. ``added`` is the bias at these places; ``how.window`` is the caller's to put into the mask.
    """
    heads, groups, length = q.shape[1], k.shape[1], q.shape[2]
    if not how.plain:
        assert not causal, "what goes in pieces is given its masks"
        return _written_out(q, k, v, how, mask, added)
    if added is not None:
        mask, causal = _additive(mask, added, causal, length, k.shape[2]), False
    if groups != heads and length == 1 and added is None and how.dropout == 0.0:
        # One query a row: the heads that share a key stand in line as queries, and nothing is copied.
        folded = q.view(q.shape[0], groups, heads // groups, q.shape[3])
        out = F.scaled_dot_product_attention(folded, k, v, attn_mask=mask, scale=how.scale)
        return out.view(q.shape[0], heads, 1, v.shape[3])
    k, v = repeat_heads(k, heads), repeat_heads(v, heads)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=how.dropout, is_causal=causal, scale=how.scale
    )


def probabilities(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    how: Scoring,
    *,
    mask: Bool[Tensor, "... S"] | None,
    added: Float[Tensor, "... S"] | None = None,
) -> Float[Tensor, "B H T S"]:
    """What ``weigh`` weighs the values by, before dropout; 0 throughout for a query that sees nothing."""
    scale = q.shape[-1] ** -0.5 if how.scale is None else how.scale
    return weights_of(_by_key_head(q * scale, k.transpose(-1, -2)), how, mask=mask, added=added)


def weights_of(
    scores: Float[Tensor, "B H T S"],
    how: Scoring,
    *,
    mask: Bool[Tensor, "... S"] | None,
    added: Float[Tensor, "... S"] | None = None,
) -> Float[Tensor, "B H T S"]:
    """The softmax of scores that were scaled; 0 throughout for a query that sees nothing."""
    if how.soft_cap is not None:
        scores = how.soft_cap * torch.tanh(scores / how.soft_cap)
    if added is not None:
        scores = scores + added
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if how.sinks is None:
        weights = torch.softmax(scores, dim=-1)
        # A query that sees nothing has no softmax; what is no number for another reason stays so, and is told.
        return weights if mask is None else weights.masked_fill(~mask.any(-1, keepdim=True), 0.0)
    sink = how.sinks[:, None, None].to(scores.dtype).expand(*scores.shape[:-1], 1)
    return torch.softmax(torch.cat([scores, sink], dim=-1), dim=-1)[..., :-1]


def repeat_heads(k: Float[Tensor, "B G S K"], heads: int) -> Float[Tensor, "B H S K"]:
    """Each of the G heads as often as there are query heads that share it."""
    rows, groups, length, width = k.shape
    if groups == heads:
        return k
    return k[:, :, None].expand(-1, -1, heads // groups, -1, -1).reshape(rows, heads, length, width)


def _written_out(q: Tensor, k: Tensor, v: Tensor, how: Scoring, mask: Tensor | None, added: Tensor | None) -> Tensor:
    pieces = []
    for begin in range(0, q.shape[2], PIECE):
        here = slice(begin, begin + PIECE)
        weights = probabilities(q[:, :, here], k, how, mask=_rows(mask, here), added=_rows(added, here))
        pieces.append(_by_key_head(F.dropout(weights, how.dropout) if how.dropout else weights, v))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)


def _by_key_head(x: Float[Tensor, "B H T N"], y: Float[Tensor, "B G N M"]) -> Float[Tensor, "B H T M"]:
    """x y, where several heads share one of ``y``, which is not repeated for it."""
    heads, groups = x.shape[1], y.shape[1]
    if heads == groups:
        return x @ y
    return (x.unflatten(1, (groups, -1)).flatten(2, 3) @ y).unflatten(2, (heads // groups, -1)).flatten(1, 2)


def _rows(x: Tensor | None, here: slice) -> Tensor | None:
    """The rows of some queries, of a mask that has one for each or one for all."""
    return x if x is None or x.shape[-2] == 1 else x[..., here, :]


def _additive(mask: Tensor | None, added: Tensor, causal: bool, length: int, span: int) -> Tensor:
    """One additive mask from a bias, a boolean mask and causality."""
    blocked = None if mask is None else ~mask
    if causal:
        future = torch.ones(length, span, dtype=torch.bool, device=added.device).triu(1)
        blocked = future if blocked is None else blocked | future
    return added if blocked is None else added.masked_fill(blocked, float("-inf"))
