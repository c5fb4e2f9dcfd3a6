"""The block of a decoder whose two sub-blocks read one norm (Wang and Komatsuzaki 2021, GPT-J), also PaLM's and
Cohere's."""

from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.layout import Layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.attention.rotary_attention import RotaryAttention


class ParallelBlock(nn.Module):
    """x + attention(norm(x)) + feedforward(norm(x)); ``dropout`` is on what each adds.

    A block without ``positions`` leaves its queries and keys as they are, whatever rotation the others share.
    """

    def __init__(
        self,
        norm: nn.Module,
        attention: RotaryAttention,
        feedforward: nn.Module,
        *,
        dropout: float,
        positions: bool = True,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.attention = attention
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward = feedforward
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(dropout)
        self.positions = positions

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        normed = self.norm(x)
        mixed = self.attention(normed, layout, rotation if self.positions else None, cache, probabilities)
        x = x + self.dropout(self.after_attention(mixed))
        return x + self.dropout(self.after_feedforward(self.feedforward(normed)))
