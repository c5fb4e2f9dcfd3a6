"""Causal attention of one projection that keeps together what a group needs: its queries, its key and its value.

Megatron-LM lays out the rows so (Shoeybi et al. 2019, section 3), because any run of whole groups is then attention by
itself, which one of several processors can hold. BLOOM, GPT-NeoX and Falcon are stored so, and an adapter for their
``query_key_value`` must find the rows in that order.
"""

from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Bias, Scoring
from trivium.nn.attention.layout import Layout
from trivium.nn.linear import Linear
from trivium.nn.positions.rope import rotate
from trivium.nn.state import KeyValueCache


class MegatronAttention(nn.Module):
    """``heads`` heads of queries look at ``groups`` heads of keys and values; the rows of ``qkv`` are
    ``[groups, heads / groups queries + 1 key + 1 value, head width]``."""

    def __init__(self, width: int, heads: int, groups: int, *, bias: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.groups, self.head_width = heads, groups, width // heads
        self.qkv = Linear(width, (heads + 2 * groups) * self.head_width, bias=bias)
        self.output = Linear(width, width, bias=bias)
        self.dropout = dropout

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        cache: KeyValueCache | None = None,
        probabilities: list[Tensor] | None = None,
        *,
        rotation: Float[Tensor, "2 _ T 1 _"] | None = None,
        bias: Bias | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Positions come as a ``rotation`` of queries and keys, or as a ``bias`` of the scores.

        ``probabilities`` gets those of this layer, for people to look at; only without a cache.
        """
        q, k, v = self.project(x, rotation)
        how = Scoring(bias=bias, dropout=self.dropout if self.training else 0.0)
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout, how))
        mixed = attend(q, k, v, layout, how, cache=cache)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def project(
        self, x: Float[Tensor, "B T D"], rotation: Float[Tensor, "2 _ T 1 _"] | None
    ) -> tuple[Float[Tensor, "B H T K"], Float[Tensor, "B G T K"], Float[Tensor, "B G T K"]]:
        """Queries and keys, turned, and values."""
        shared = self.heads // self.groups
        by_group = self.qkv(x).unflatten(-1, (self.groups, shared + 2, self.head_width))
        q, k, v = (part.flatten(2, 3) for part in by_group.split([shared, 1, 1], dim=3))
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
