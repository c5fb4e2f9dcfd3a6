"""Attention to neighbours only (Beltagy et al. 2020, "Longformer", section 3.1): keys at most a window away.

A text is cut into blocks as long as the window; the queries of a block need the keys of three (of two, where nobody
looks ahead), so time and memory grow with the length of the text and not with its square.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trivium.nn.attention.kernel import repeat_heads

FEW = 4
"""Windows; measured (one thread, 12 heads): the whole matrix is faster up to here, 6 times slower at 32."""


def near(
    queries: Int[Tensor, "*B T"], keys: Int[Tensor, "*C S"], window: int, causal: bool = False
) -> Bool[Tensor, "*B T S"]:
    """Whether two positions are at most ``window`` apart, on either side; with ``causal``, whether the key is the
    query itself or one of the ``window - 1`` before it."""
    apart = queries[..., :, None] - keys[..., None, :]
    return (apart >= 0) & (apart < window) if causal else apart.abs() <= window


def attend_near(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    window: int,
    *,
    causal: bool = False,
    documents: Int[Tensor, "B T"] | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "B H T W"]:
    """softmax(q k^T * scale) v over the keys `near` each query and, where ``documents`` numbers those packed in a row
    (from 0), of its own document. Heads of keys may be shared by several heads of queries.

    ``scale`` defaults to K ** -0.5; ``dropout`` is applied to the probabilities.
    """
    rows, heads, length, _ = q.shape
    k, v = repeat_heads(k, heads), repeat_heads(v, heads)
    places = torch.arange(length, device=q.device)
    if length <= FEW * window:
        mask = near(places, places, window, causal)
        if documents is not None:
            mask = (mask & (documents[:, :, None] == documents[:, None]))[:, None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
    blocks, after = -(-length // window), 0 if causal else window
    spare = blocks * window - length
    numbers = torch.zeros_like(places)[None] if documents is None else documents
    # What fills up the last block is a document of its own: it sees itself, and nothing sees it.
    own = F.pad(numbers, (0, spare), value=-1).unflatten(1, (blocks, window))
    seen = F.pad(numbers, (window, spare + after), value=-1).unfold(1, 2 * window + after, window)
    inside = torch.arange(2 * window + after, device=q.device)
    mask = near(inside[window : 2 * window], inside, window, causal) & (own[..., :, None] == seen[..., None, :])
    mask = mask.expand(rows, *mask.shape[1:]).flatten(0, 1)[:, None]
    queries = F.pad(q, (0, 0, 0, spare)).unflatten(2, (blocks, window)).transpose(1, 2).flatten(0, 1)
    keys, values = (_neighbourhoods(x, window, spare, after) for x in (k, v))
    mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=dropout, scale=scale)
    return mixed.unflatten(0, (rows, blocks)).transpose(1, 2).flatten(2, 3)[:, :, :length]


def _neighbourhoods(x: Float[Tensor, "B H T K"], window: int, spare: int, after: int) -> Float[Tensor, "M H S K"]:
    """For each block of a row the vectors of the block before it, its own and ``after`` more, M blocks of all rows."""
    padded = F.pad(x, (0, 0, window, spare + after))
    return padded.unfold(2, 2 * window + after, window).permute(0, 2, 1, 4, 3).flatten(0, 1)
