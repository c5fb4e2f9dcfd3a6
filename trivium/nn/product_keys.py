"""Product-key memory (Lample et al. 2019): a feed-forward layer of n^2 slots of which each token reads a few.

A key is a pair of two half-keys, n of each kind, and its score the sum of theirs (section 3.2): the best k of all n^2
are among the pairs of the best k of either kind, so 2 n + k^2 scores are made and not n^2. The values of the chosen are
added up, weighted by the softmax of their scores (eq. 3); heads have queries and keys of their own and share the values
(section 3.3).
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.linear import Linear

QueryNorm = Literal["batch", "layer"]


class ProductKeyMemory(nn.Module):
    """``half_keys ** 2`` slots, ``chosen`` of them read by each of ``heads`` heads.

    The paper's queries are normed over the batch (section 3.3), which spreads them over more keys, but ties the tokens
    of a batch, padding among them, to each other; "layer" norms each head's query by itself. With ``sparse`` the
    gradient of the values holds the rows that were read and no others (for ``torch.optim.SparseAdam``).
    """

    def __init__(
        self,
        width: int,
        half_keys: int,
        chosen: int,
        *,
        heads: int = 4,
        key_width: int = 512,
        norm: QueryNorm = "batch",
        sparse: bool = False,
    ) -> None:
        super().__init__()
        assert key_width % 2 == 0 and chosen <= half_keys, (key_width, chosen, half_keys)
        self.heads, self.chosen, self.half_keys, self.sparse = heads, chosen, half_keys, sparse
        self.query = Linear(width, heads * key_width)
        every = heads * key_width
        self.norm = nn.BatchNorm1d(every) if norm == "batch" else nn.LayerNorm(key_width)
        self.keys = nn.Parameter(torch.empty(heads, 2, half_keys, key_width // 2))
        self.values = nn.Parameter(torch.empty(half_keys**2, width))
        bound = 1 / math.sqrt(key_width // 2)
        nn.init.uniform_(self.keys, -bound, bound)
        nn.init.normal_(self.values, std=width**-0.5)

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """What each token reads; as wide as it came."""
        flat = x.reshape(-1, x.shape[-1])
        scores, slots = self.choose(flat)
        weights = torch.softmax(scores, dim=-1).flatten(1).to(self.values.dtype)  # under autocast scores are narrower
        read = F.embedding_bag(
            slots.flatten(1), self.values, mode="sum", per_sample_weights=weights, sparse=self.sparse
        )
        return read.view(x.shape)

    def choose(self, x: Float[Tensor, "N D"]) -> tuple[Float[Tensor, "N H k"], Int[Tensor, "N H k"]]:
        """Scores and numbers of the best slots of every head, the best first."""
        left, right = self._queries(x).unflatten(-1, (2, -1)).unbind(-2)  # [N, H, K / 2]
        best_left, best_right = (
            torch.einsum("nhk,hsk->nhs", half, self.keys[:, side]).topk(self.chosen)
            for side, half in enumerate((left, right))
        )
        sums = best_left.values[..., :, None] + best_right.values[..., None, :]
        scores, places = sums.flatten(-2).topk(self.chosen)
        rows, columns = places // self.chosen, places % self.chosen
        slots = best_left.indices.gather(-1, rows) * self.half_keys + best_right.indices.gather(-1, columns)
        return scores, slots

    def _queries(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N H K"]:
        queries = self.query(x)
        if isinstance(self.norm, nn.BatchNorm1d):
            return self.norm(queries).unflatten(-1, (self.heads, -1))
        return self.norm(queries.unflatten(-1, (self.heads, -1)))
