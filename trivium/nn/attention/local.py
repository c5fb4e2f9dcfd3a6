"""Attention to neighbours only (Beltagy et al. 2020, "Longformer", section 3.1): keys at most a window away.

A text is cut into blocks as long as the window; the queries of a block need the keys of three, so time and memory grow
with the length of the text and not with its square.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

_FEW = 4  # windows; measured (one thread, 12 heads): the whole matrix is faster up to here, 6 times slower at 32


def near(queries: Int[Tensor, "*B T"], keys: Int[Tensor, "*B S"], window: int) -> Bool[Tensor, "*B T S"]:
    """Whether two positions are at most ``window`` apart, on either side."""
    return (queries[..., :, None] - keys[..., None, :]).abs() <= window


def attend_near(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B H T K"],
    v: Float[Tensor, "B H T K"],
    window: int,
    *,
    documents: Int[Tensor, "B T"] | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "B H T K"]:
    """softmax(q k^T * scale) v over the keys near each query and, where ``documents`` numbers those packed in a row
    (from 0), of its own document.

    ``scale`` defaults to K ** -0.5; ``dropout`` is applied to the probabilities.
    """
    rows, heads, length, width = q.shape
    places = torch.arange(length, device=q.device)
    if length <= _FEW * window:
        mask = near(places, places, window)
        if documents is not None:
            mask = (mask & (documents[:, :, None] == documents[:, None]))[:, None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
    blocks = -(-length // window)
    spare = blocks * window - length
    numbers = torch.zeros_like(places)[None] if documents is None else documents
    # What fills up the last block is a document of its own: it sees itself, and nothing sees it.
    own = F.pad(numbers, (0, spare), value=-1).unflatten(1, (blocks, window))
    seen = F.pad(numbers, (window, window + spare), value=-1).unfold(1, 3 * window, window)
    inside = torch.arange(3 * window, device=q.device)
    mask = near(inside[window : 2 * window], inside, window) & (own[..., :, None] == seen[..., None, :])
    mask = mask.expand(rows, *mask.shape[1:]).flatten(0, 1)[:, None]
    queries = F.pad(q, (0, 0, 0, spare)).unflatten(2, (blocks, window)).transpose(1, 2).flatten(0, 1)
    keys, values = (_threes(x, window, spare) for x in (k, v))
    mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=dropout, scale=scale)
    return mixed.view(rows, blocks, heads, window, width).transpose(1, 2).flatten(2, 3)[:, :, :length]


def _threes(x: Float[Tensor, "B H T K"], window: int, spare: int) -> Float[Tensor, "M H S K"]:
    """For each block of a row its own vectors and those of the blocks on both sides, ``M`` blocks of all rows."""
    padded = F.pad(x, (0, 0, window, window + spare))
    return padded.unfold(2, 3 * window, window).permute(0, 2, 1, 4, 3).flatten(0, 1)
