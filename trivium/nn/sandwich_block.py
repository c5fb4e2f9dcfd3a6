"""The block of a decoder with norms before and after each sub-block (Gemma Team 2024b, section 2)."""

from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.layout import Layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.norms import RMSNorm


class SandwichBlock(nn.Module):
    """x + norm(attention(norm(x))), then x + norm(feedforward(norm(x))); ``dropout`` is on what each adds.

    ``rotation`` says which of the rotations that a forward pass is given turns queries and keys.
    """

    def __init__(
        self,
        width: int,
        attention: RotaryAttention,
        feedforward: nn.Module,
        *,
        rotation: int = 0,
        norm_epsilon: float,
        norm_offset: float = 0.0,
        dropout: float,
    ) -> None:
        super().__init__()
        norms = [RMSNorm(width, norm_epsilon, offset=norm_offset) for _ in range(4)]
        self.attention_norm, self.attended_norm, self.feedforward_norm, self.fed_norm = norms
        self.attention, self.feedforward = attention, feedforward
        self.after_attention = nn.Identity()  # seat for an adapter
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(dropout)
        self.rotation = rotation

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotations: tuple[Float[Tensor, "2 _ T 1 _"], ...],
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(x), layout, rotations[self.rotation], cache, probabilities)
        x = x + self.dropout(self.after_attention(self.attended_norm(mixed)))
        fed = self.feedforward(self.feedforward_norm(x))
        return x + self.dropout(self.after_feedforward(self.fed_norm(fed)))
