"""Attention of packed documents, each by itself."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from trivium.nn.attention.layout import Layout


def each_document(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    layout: Layout,
) -> Float[Tensor, "B H T W"]:
    """What ``attend(q [n H L K], k [n G L K], v [n G L W]) -> [n H L W]`` makes of every document: equal lengths
    together, put back by one gather."""
    assert layout.slices is not None
    rows, heads, length, _ = q.shape
    # Gathered once and then cut: a gather for each group would have autograd fill a whole tensor with zeros for each.
    sizes = [group.numel() for group in layout.slices.groups]
    parts = (x.transpose(1, 2).flatten(0, 1)[layout.slices.order].split(sizes) for x in (q, k, v))
    pieces = []
    for group, *flat in zip(layout.slices.groups, *parts, strict=True):
        own = (x.unflatten(0, group.shape).transpose(1, 2) for x in flat)
        pieces.append(attend(*own).transpose(1, 2).flatten(0, 1))
    return torch.cat(pieces)[layout.slices.inverse].view(rows, length, heads, v.shape[3]).transpose(1, 2)
