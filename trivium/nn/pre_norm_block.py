"""The block of a decoder with a norm before each sub-block (Radford et al. 2019, section 2.3), as LLaMA has it.

LLaMA, Mistral, Qwen, Phi and the first Gemma are stacks of it, and differ in their attention.
"""

from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.layout import Layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.norms import RMSNorm


class PreNormBlock(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)); ``dropout`` is on what each adds."""

    def __init__(
        self,
        width: int,
        attention: RotaryAttention,
        feedforward: nn.Module,
        *,
        norm_epsilon: float,
        norm_offset: float = 0.0,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(width, norm_epsilon, offset=norm_offset)
        self.attention = attention
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = RMSNorm(width, norm_epsilon, offset=norm_offset)
        self.feedforward = feedforward
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(x), layout, rotation, cache, probabilities)
        x = x + self.dropout(self.after_attention(mixed))
        return x + self.dropout(self.after_feedforward(self.feedforward(self.feedforward_norm(x))))
