"""Relative position vectors (Shaw et al. 2018, section 3): a learned vector for each distance up to the k-th.

    score(i, j) = q_i^T (k_j + a^K_{clip(i-j)}) / sqrt(K)        eq. 4
    out_i = sum_j weight(i, j) (v_j + a^V_{clip(i-j)})           eq. 3

``clip`` lets all keys more than k tokens away share the last vector. The vectors of a layer serve all of its heads
(section 3.3). A decoder needs those of keys before a query alone, so there are k + 1 and not 2 k + 1 of them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.attention.placed import Places
from trivium.nn.attention.related import Relation


class ShawRelation(nn.Module):
    """The vectors of one layer; ``furthest`` is k, and without ``values`` a^V is left out (section 4.3)."""

    def __init__(self, head_width: int, furthest: int, *, values: bool = True) -> None:
        super().__init__()
        self.furthest = furthest
        shape = (furthest + 1, head_width)
        self.keys = nn.Parameter(nn.init.normal_(torch.empty(shape), std=head_width**-0.5))
        self.values = nn.Parameter(nn.init.normal_(torch.empty(shape), std=head_width**-0.5)) if values else None

    def forward(self, longest: int) -> Relation:
        """For any texts: what is made for the ``longest`` one serves all."""
        return Relation(self.scores, None if self.values is None else self.gathered)

    def scores(
        self, q: Float[Tensor, "n H T K"], k: Float[Tensor, "n H S K"], places: Places
    ) -> Float[Tensor, "n H T S"]:
        """Numerator of eq. 4: one product with all k + 1 vectors, of which every key is given its distance's."""
        content = q @ k.mT
        return content + (q @ self.keys.mT).gather(-1, self._clipped(places)[:, None].expand(content.shape))

    def gathered(self, weights: Float[Tensor, "n H T S"], places: Places) -> Float[Tensor, "n H T K"]:
        """The part of eq. 3 that is not v: the weights of a distance are added up before they weigh its vector."""
        assert self.values is not None
        by_distance = weights.new_zeros(*weights.shape[:3], self.furthest + 1)
        index = self._clipped(places)[:, None].expand(weights.shape)
        return by_distance.scatter_add(-1, index, weights) @ self.values

    def _clipped(self, places: Places) -> Int[Tensor, "_ T S"]:
        return places.distances.clamp(0, self.furthest)  # keys to come are given any: they are not seen
