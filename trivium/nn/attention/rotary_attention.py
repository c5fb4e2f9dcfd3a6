"""Causal attention with rotary positions, as the decoders since GPT-J have it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.linear import Linear
from trivium.nn.norms import RMSNorm
from trivium.nn.positions.rope import rotate


class RotaryAttention(nn.Module):
    """``heads`` heads of queries look at ``groups`` heads of keys and values; q, k and v come of one product.

    ``norms`` are applied to queries and keys ``[B, T, heads, K]`` before they are turned (Henry et al. 2020,
    "Query-Key Normalization"). ``neighbours`` says which features turn together, see `rotate`; a layer that is called
    without a rotation knows no positions. ``window`` and ``soft_cap`` are those of `Scoring`; with ``sinks`` each head
    learns the score of a key without a value.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        groups: int,
        head_width: int,
        *,
        bias: bool = False,
        output_bias: bool = False,
        norms: tuple[nn.Module, nn.Module] | None = None,
        neighbours: bool = False,
        scale: float | None = None,
        window: int | None = None,
        soft_cap: float | None = None,
        sinks: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.groups, self.head_width = heads, groups, head_width
        self.qkv = Linear(width, (heads + 2 * groups) * head_width, bias=bias)
        self.output = Linear(heads * head_width, width, bias=output_bias)
        self.query_norm, self.key_norm = norms or (None, None)
        self.sinks = nn.Parameter(torch.zeros(heads)) if sinks else None
        self.neighbours, self.window, self.scale, self.soft_cap = neighbours, window, scale, soft_cap
        self.dropout = dropout

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows of the one projection that are q, k and v."""
        return self.heads * self.head_width, self.groups * self.head_width, self.groups * self.head_width

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"] | None,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """``probabilities`` gets those of this layer, for people to look at; only without a cache."""
        q, k, v = self.project(x, rotation)
        return self.output(self.mix(q, k, v, layout, cache, probabilities).flatten(2))

    def mix(
        self,
        q: Float[Tensor, "B H T K"],
        k: Float[Tensor, "B G T K"],
        v: Float[Tensor, "B G T K"],
        layout: Layout,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T H K"]:
        """What each head gathers, before ``output`` joins them."""
        how = Scoring(
            scale=self.scale,
            window=self.window,
            soft_cap=self.soft_cap,
            sinks=self.sinks,
            dropout=self.dropout if self.training else 0.0,
        )
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout, how))
        mixed = attend(q, k, v, layout, how, cache=cache)
        return mixed.transpose(1, 2)

    def project(
        self, x: Float[Tensor, "B T D"], rotation: Float[Tensor, "2 _ T 1 _"] | None
    ) -> tuple[Float[Tensor, "B H T K"], Float[Tensor, "B G T K"], Float[Tensor, "B G T K"]]:
        """Queries and keys, normed and turned, and values."""
        qkv = self.qkv(x).unflatten(-1, (self.heads + 2 * self.groups, self.head_width))
        qk, v = qkv.split([self.heads + self.groups, self.groups], dim=2)
        if self.query_norm is not None and self.key_norm is not None:
            q, k = qk.split([self.heads, self.groups], dim=2)
            qk = torch.cat([self.query_norm(q), self.key_norm(k)], dim=2)
        if rotation is not None:
            qk = rotate(qk, rotation, self.neighbours)
        q, k = qk.transpose(1, 2).split([self.heads, self.groups], dim=1)
        return q, k, v.transpose(1, 2)


class NormOverHeads(nn.Module):
    """RMSNorm of all heads of a token together, not of each by itself (OLMo 2)."""

    def __init__(self, heads: int, head_width: int, epsilon: float) -> None:
        super().__init__()
        self.norm = RMSNorm(heads * head_width, epsilon)

    def forward(self, x: Float[Tensor, "B T H K"]) -> Float[Tensor, "B T H K"]:
        return self.norm(x.flatten(-2)).view(x.shape)


class LayerNormOfHeads(nn.Module):
    """Layer norm of each head of a token by itself, with a gain for each feature of each head and no bias (Command
    R+)."""

    def __init__(self, heads: int, head_width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, head_width))
        self.epsilon = epsilon

    def forward(self, x: Float[Tensor, "B T H K"]) -> Float[Tensor, "B T H K"]:
        return F.layer_norm(x, x.shape[-1:], eps=self.epsilon) * self.weight
