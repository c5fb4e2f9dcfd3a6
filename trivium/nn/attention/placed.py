"""Causal attention by a function of one's own, over any `Layout`: whole texts, packed documents, a cache.

`dot_product.attend` adds a bias that positions alone decide. Where a score depends on content and distance together, or
where only some keys are gathered, the mathematics is given as a function of queries, keys, values and `Places`; what a
layout means is worked out here, once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trivium.nn.attention.layout import Layout
from trivium.nn.attention.packed import each_document
from trivium.nn.attention.remembered import pieces, write
from trivium.nn.state import KeyValueCache


@dataclass(frozen=True)
class Places:
    """Where queries and keys stand in their text; a query may see the keys of its own position and before."""

    queries: Int[Tensor, "_ T"]
    """One row where all are alike."""
    keys: Int[Tensor, "S"]
    """Consecutive."""
    aligned: bool
    """All rows are alike, and the last query stands where the last key does."""

    @property
    def distances(self) -> Int[Tensor, "_ T S"]:
        """Query minus key: negative where a query may not look."""
        return self.queries[:, :, None] - self.keys


Mix = Callable[[Tensor, Tensor, Tensor, Places], Tensor]
"""``mix(q [n H T K], k [n G S K], v [n G S W], places) -> [n H T W]``."""


def attend_placed(
    mix: Mix,
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    layout: Layout,
    cache: KeyValueCache | None = None,
) -> Float[Tensor, "B H T W"]:
    """What ``mix`` makes of every text of a causal ``layout``; new keys and values are written to ``cache`` first."""
    assert layout.causal, "these are attentions of decoders"

    def of_whole_texts(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        places = torch.arange(q.shape[2], device=q.device)
        return mix(q, k, v, Places(places[None], places, aligned=True))

    if cache is not None:
        write(cache, k, v, layout)
    if layout.slices is not None:
        if layout.fresh or cache is None:
            return each_document(of_whole_texts, q, k, v, layout)
        return _rows(mix, q, cache, layout)
    if cache is None or layout.fresh:
        return of_whole_texts(q, k, v)
    keys, values = cache.keys[:, :, : layout.span], cache.values[:, :, : layout.span]
    return mix(q, keys, values, Places(layout.positions, layout.key_positions, aligned=layout.start is not None))


def longest_text(layout: Layout) -> int:
    """How many keys the longest text has that ``attend_placed`` gives to a `Mix`."""
    if layout.slices is not None and (layout.fresh or layout.rows is None):
        return max((group.shape[1] for group in layout.slices.groups), default=0)
    return layout.span


def _rows(mix: Mix, q: Tensor, cache: KeyValueCache, layout: Layout) -> Tensor:
    """New tokens of several rows (``[1, N]``) over the rows' caches, a row at a time."""
    out = q.new_empty(*q.shape[:3], cache.values.shape[3])
    for row, here, start in pieces(layout):
        keys = torch.arange(start + here.stop - here.start, device=q.device)
        held = (x[row : row + 1, :, : keys.shape[0]] for x in (cache.keys, cache.values))
        out[:, :, here] = mix(q[:, :, here], *held, Places(layout.positions[:, here], keys, aligned=True))
    return out
