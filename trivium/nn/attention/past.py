"""Attention of the last tokens of a text to themselves and to what stands before them.

PyTorch's kernel knows a whole text and nothing else: the rest goes in pieces of the queries, each with the keys that
one of its queries sees, and no others.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from trivium.nn.attention.kernel import PIECE, Scoring, weigh
from trivium.nn.attention.local import FEW, attend_near, near


def attend_past(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S W"],
    how: Scoring,
    *,
    first: int = 0,
) -> Float[Tensor, "B H T W"]:
    """``k`` and ``v`` are those of S tokens in a row, of which the first stands at position ``first`` and the last T
    look back. What lies further back than ``how.window`` need not be there.
    """
    length, before, window = q.shape[2], k.shape[2] - q.shape[2], how.window
    if how.plain and how.bias is None:
        if not before and (window is None or length <= window):
            return weigh(q, k, v, how, causal=True)
        if window is not None and length > FEW * window:  # what stands before it is less than a window
            begun = F.pad(q, (0, 0, before, 0))
            mixed = attend_near(begun, k, v, window, causal=True, scale=how.scale, dropout=how.dropout)
            return mixed[:, :, before:]
    pieces = []
    for begin in range(0, length, PIECE):
        end = min(begin + PIECE, length)
        oldest = 0 if window is None else max(0, before + begin - window + 1)
        places, others = (
            torch.arange(first + start, first + before + stop, device=q.device)
            for start, stop in ((before + begin, end), (oldest, end))
        )
        seen = near(places, others, window or first + before + end, causal=True)
        added = None if how.bias is None else how.bias(places[None], others)
        keys, values = k[:, :, oldest : before + end], v[:, :, oldest : before + end]
        pieces.append(weigh(q[:, :, begin:end], keys, values, how, mask=seen, added=added))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)
