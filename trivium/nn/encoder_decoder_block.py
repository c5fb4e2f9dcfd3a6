"""One layer of an encoder-decoder Transformer (Vaswani et al. 2017, section 3.1), as Marian and BART have it."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.attention.layout import Layout
from trivium.nn.attention.self_attention import SelfAttention
from trivium.nn.attention.source_attention import SourceAttention
from trivium.nn.feedforward import Activation, FeedForward
from trivium.nn.ragged import Ragged
from trivium.nn.state import KeyValueCache


class EncoderDecoderBlock(nn.Module):
    """Self-attention, in the decoder attention to the source, and a feed-forward layer, each added to its input.

    Each is norm(x + dropout(sublayer(x))), or with ``norm_first`` x + dropout(sublayer(norm(x))) (Xiong et al. 2020).
    ``inner_dropout`` stands between the two matrices of the feed-forward layer.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner_width: int,
        activation: Activation,
        *,
        decoder: bool,
        norm_first: bool = False,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        inner_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = SelfAttention(width, heads, dropout=attention_dropout)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.attention_norm = nn.LayerNorm(width)
        self.cross_attention = SourceAttention(width, heads, dropout=attention_dropout) if decoder else None
        self.cross_attention_norm = nn.LayerNorm(width) if decoder else None
        self.feedforward = FeedForward(width, inner_width, activation, dropout=inner_dropout)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def read_source(self, source: Float[Tensor, "B S D"]) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """A decoder block's keys and values of the source: its ``memory``. A block's parameters are used by methods
        of the block alone, which is where sharding gathers them."""
        assert self.cross_attention is not None, "an encoder block reads no other source"
        return self.cross_attention.project(source)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        cache: KeyValueCache | None = None,
        memory: tuple[Tensor, ...] | None = None,
        source_lengths: Int[Tensor, "R"] | None = None,
        ragged: Ragged | None = None,
        probabilities: list[Tensor] | None = None,
        cross_probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self._given(x, self.attention_norm), layout, cache, probabilities)
        x = self._added(x, self.after_attention(mixed), self.attention_norm)
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            given = self._given(x, self.cross_attention_norm)
            mixed = self.cross_attention(given, memory, source_lengths, ragged, cross_probabilities)
            x = self._added(x, mixed, self.cross_attention_norm)
        mixed = self.feedforward(self._given(x, self.feedforward_norm))
        return self._added(x, self.after_feedforward(mixed), self.feedforward_norm)

    def _given(self, x: Tensor, norm: nn.Module) -> Tensor:
        """What a sub-layer is given."""
        return norm(x) if self.norm_first else x

    def _added(self, x: Tensor, made: Tensor, norm: nn.Module) -> Tensor:
        """What a sub-layer leaves behind."""
        total = x + self.dropout(made)
        return total if self.norm_first else norm(total)
