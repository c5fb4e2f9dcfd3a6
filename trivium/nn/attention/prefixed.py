"""Attention of a text to itself and to a prefix that it continues, in one softmax (a prefix language model).

The prefix was read before, as a whole, and its keys and values are remembered (``State.memory``); the text is read from
left to right, with a cache of its own.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trivium.nn.attention.layout import Layout
from trivium.nn.attention.remembered import write
from trivium.nn.ragged import Ragged
from trivium.nn.state import KeyValueCache


def attend_prefixed(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B H T K"],
    v: Float[Tensor, "B H T K"],
    prefix: tuple[Float[Tensor, "R H S K"], Float[Tensor, "R H S K"]],
    prefix_lengths: Int[Tensor, "R"],
    layout: Layout,
    *,
    cache: KeyValueCache | None = None,
    ragged: Ragged | None = None,
    dropout: float = 0.0,
    probabilities: list[Tensor] | None = None,
) -> Float[Tensor, "B H T K"]:
    """Attention of every token to the valid part of its row's prefix and to the text up to itself.

    ``layout`` is the text's, causal. With ``ragged`` the tokens are packed ``[1, H, N, K]`` and belong to the rows of
    the prefix that it names. ``probabilities`` gets ``[B, H, T, S + T]``, the prefix first; only without a cache.
    """
    if cache is not None:
        write(cache, k, v, layout)
    positions = layout.positions
    if ragged is not None:
        q, positions = _rows(q, ragged), ragged.pad(positions)
    if cache is not None:
        k, v = cache.keys[:, :, : layout.span], cache.values[:, :, : layout.span]
    elif ragged is not None:
        k, v = _rows(k, ragged), _rows(v, ragged)
    keys, values = torch.cat([prefix[0], k], dim=2), torch.cat([prefix[1], v], dim=2)
    visible = _visible(positions, prefix[0].shape[2], prefix_lengths, k.shape[2])
    if probabilities is not None:
        scores = (q @ keys.transpose(-1, -2) * q.shape[-1] ** -0.5).masked_fill(~visible, float("-inf"))
        weights = torch.softmax(scores, dim=-1)
        probabilities.append(weights if ragged is None else _packed(weights, ragged))
    mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=visible, dropout_p=dropout)
    return mixed if ragged is None else _packed(mixed, ragged)


def _visible(
    positions: Int[Tensor, "_ T"], prefix: int, prefix_lengths: Int[Tensor, "R"], span: int
) -> Bool[Tensor, "R 1 T S"]:
    """Which of the keys, ``prefix`` and then ``span`` of the text's, each query may look at."""
    rows, length = prefix_lengths.shape[0], positions.shape[1]
    before = torch.arange(prefix, device=positions.device) < prefix_lengths[:, None]
    own = torch.arange(span, device=positions.device) <= positions[:, :, None]
    return torch.cat([before[:, None].expand(-1, length, -1), own.expand(rows, -1, -1)], dim=2)[:, None]


def _rows(x: Tensor, ragged: Ragged) -> Tensor:
    """``[1, H, N, K]`` in rows ``[R, H, L, K]``."""
    return ragged.pad(x.transpose(1, 2)).transpose(1, 2)


def _packed(x: Tensor, ragged: Ragged) -> Tensor:
    """And back."""
    return ragged.pack(x.transpose(1, 2)).transpose(1, 2)
