"""T5's relative positions: a learned score for each head and bucket of distances (Raffel et al. 2020, section 2.1)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.attention.kernel import Bias
from trivium.nn.attention.layout import Layout


class RelativeBias(nn.Module):
    """Adds ``weight[bucket(key position - query position)]`` to the scores; one table serves all layers of a stack."""

    def __init__(self, heads: int, buckets: int, furthest: int, *, bidirectional: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(buckets, heads))
        self.furthest, self.bidirectional = furthest, bidirectional

    def forward(self, queries: Int[Tensor, "*B T"], keys: Int[Tensor, "*C S"]) -> Float[Tensor, "*D H T S"]:
        """Scores to add, from the positions of queries and keys."""
        distances = keys[..., None, :] - queries[..., :, None]
        buckets = distance_bucket(
            distances, self.weight.shape[0], furthest=self.furthest, bidirectional=self.bidirectional
        )
        return F.embedding(buckets, self.weight).movedim(-1, -3)

    def shared(self, layout: Layout) -> Bias:
        """The same function for one forward pass: what all layers ask for is made once."""
        if layout.slices is not None:
            # New tokens of several rows over their caches ask for as many different positions as there are rows.
            return self._of_documents(layout) if layout.fresh else self
        whole = self(layout.positions, layout.key_positions)

        def bias(queries: Tensor, keys: Tensor) -> Tensor:
            same = queries is layout.positions and keys is layout.key_positions
            return whole if same else self(queries, keys)

        return bias

    def _of_documents(self, layout: Layout) -> Bias:
        """For packed documents, which all count from 0: a shorter one's scores are a corner of the longest one's."""
        assert layout.slices is not None
        longest = torch.arange(max((group.shape[1] for group in layout.slices.groups), default=0))
        longest = longest.to(layout.positions.device)
        whole = self(longest, longest)
        corners: dict[tuple[int, int], Tensor] = {}

        def bias(queries: Tensor, keys: Tensor) -> Tensor:
            if queries is layout.positions:  # of the whole row, to be looked at
                return self(queries, keys)
            # The last query stands where the last key does; a long document comes in pieces of its queries.
            length, span = queries.shape[-1], keys.shape[-1]
            if (length, span) not in corners:  # one view for all layers: its gradient goes back into the whole once
                corners[length, span] = whole[None, :, span - length : span, :span]
            return corners[length, span]

        return bias


def distance_bucket(
    distances: Int[Tensor, "..."], buckets: int, *, furthest: int, bidirectional: bool
) -> Int[Tensor, "..."]:
    """The bucket of each distance (key minus query position).

    Half of the buckets hold one small distance each, the rest grow logarithmically up to ``furthest``;
    everything beyond shares the last. With ``bidirectional`` one half of all is for keys to the right.
    """
    offset = torch.zeros_like(distances)
    if bidirectional:
        buckets //= 2
        offset = (distances > 0) * buckets
        distances = distances.abs()
    else:
        distances = (-distances).clamp(min=0)
    exact = buckets // 2
    # In fp32, as published: at a bucket's edge the rounding decides, and trained tables know that rounding.
    ratio = torch.log(distances.clamp(min=1).float() / exact) / math.log(furthest / exact)
    far = exact + (ratio * (buckets - exact)).long()
    return offset + torch.where(distances < exact, distances, far.clamp(max=buckets - 1))
