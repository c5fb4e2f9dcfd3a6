"""The block of an encoder with the norm after each residual sum (Vaswani et al. 2017, section 3.1), as BERT has it.

BERT, RoBERTa, ERNIE and ELECTRA are stacks of it.
"""

from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.layout import Layout
from trivium.nn.attention.self_attention import SelfAttention
from trivium.nn.feedforward import Activation, FeedForward


class PostNormBlock(nn.Module):
    """norm(x + attention(x)), then norm(x + feedforward(x))."""

    def __init__(
        self,
        width: int,
        heads: int,
        inner_width: int,
        *,
        activation: Activation,
        dropout: float,
        attention_dropout: float,
        norm_epsilon: float,
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads, dropout=attention_dropout)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.attention_norm = nn.LayerNorm(width, eps=norm_epsilon)
        self.feedforward = FeedForward(width, inner_width, activation)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(width, eps=norm_epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "B T D"], layout: Layout, probabilities: list[Tensor] | None = None
    ) -> Float[Tensor, "B T D"]:
        mixed = self.dropout(self.attention(x, layout, probabilities=probabilities))
        x = self.attention_norm(x + self.after_attention(mixed))
        return self.feedforward_norm(x + self.after_feedforward(self.dropout(self.feedforward(x))))
