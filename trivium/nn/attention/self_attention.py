"""Multi-head self-attention (Vaswani et al. 2017, section 3.2.2) with one projection for queries, keys and values."""

from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.linear import Linear


class SelfAttention(nn.Module):
    """Every token looks at what the layout lets it see, with ``heads`` heads; ``scale`` and ``window`` are those of
    `Scoring`."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        bias: bool = True,
        output_bias: bool = True,
        scale: float | None = None,
        window: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.qkv = Linear(width, 3 * width, bias=bias)
        self.output = Linear(width, width, bias=output_bias)
        self.scale, self.window, self.dropout = scale, window, dropout

    def project(self, x: Float[Tensor, "B T D"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each ``[B, H, T, K]``."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, self.head_width)).transpose(1, 3).unbind(2)
        return q, k, v

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """``probabilities`` gets those of this layer, for people to look at; only without a cache."""
        q, k, v = self.project(x)
        return self.output(self.mix(q, k, v, layout, cache, probabilities).flatten(2))

    def mix(
        self,
        q: Float[Tensor, "B H T K"],
        k: Float[Tensor, "B H T K"],
        v: Float[Tensor, "B H T K"],
        layout: Layout,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T H K"]:
        """What each head gathers, before ``output`` joins them."""
        how = Scoring(scale=self.scale, window=self.window, dropout=self.dropout if self.training else 0.0)
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout, how))
        mixed = attend(q, k, v, layout, how, cache=cache)
        return mixed.transpose(1, 2)
