"""The block of a decoder with a norm before each sub-block (Radford et al. 2019, section 2.3).

The GPTs from the second on, Gopher, LaMDA, LLaMA, Mistral, Qwen, Phi and the first Gemma are stacks of it: they differ
in their norms, in their attention and in what that is given.
"""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.layout import Layout


class PreNormBlock(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)), with two ``norms``; ``dropout`` is on what each adds."""

    def __init__(
        self, norms: Sequence[nn.Module], attention: nn.Module, feedforward: nn.Module, *, dropout: float
    ) -> None:
        super().__init__()
        attention_norm, feedforward_norm = norms
        self.attention_norm = attention_norm
        self.attention = attention
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = feedforward_norm
        self.feedforward = feedforward
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T D"], layout: Layout, *given: Any) -> Float[Tensor, "B T D"]:
        """``given`` is what the attention takes after its layout: what all layers share (a rotation, a bias), the
        layer's cache, and the list that its probabilities are added to, see `trivium.nn.decoder.through`."""
        mixed = self.attention(self.attention_norm(x), layout, *given)
        x = x + self.dropout(self.after_attention(mixed))
        return x + self.dropout(self.after_feedforward(self.feedforward(self.feedforward_norm(x))))
