"""Multi-head attention of a decoder to its source (Vaswani et al. 2017, section 3.2.3), whose keys and values are made
once."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.attention.dot_product import cross_attend, cross_attention_probabilities
from trivium.nn.linear import Linear
from trivium.nn.ragged import Ragged


class SourceAttention(nn.Module):
    """Every token of the target looks at the whole of its source.

    Heads share out the width, unless ``head_width`` says otherwise; scores are multiplied by ``scale``, or by K ** -0.5
    where it is not given.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        head_width: int | None = None,
        bias: bool = True,
        scale: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width or width // heads
        inner = heads * self.head_width
        self.query = Linear(width, inner, bias=bias)
        self.key_value = Linear(width, 2 * inner, bias=bias)
        self.output = Linear(inner, width, bias=bias)
        self.scale, self.dropout = scale, dropout

    def project(self, source: Float[Tensor, "B S D"]) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """Keys and values of every source position."""
        keys, values = self.key_value(source).unflatten(-1, (2, self.heads, self.head_width)).transpose(1, 3).unbind(2)
        return keys, values

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: tuple[Tensor, ...],
        source_lengths: Int[Tensor, "R"],
        ragged: Ragged | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """With ``ragged`` the tokens are packed ``[1, N]`` and each looks at the source of its own row."""
        query = self.query(x)
        if ragged is not None:
            query = ragged.pad(query)
        q = query.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)
        if probabilities is not None:
            weights = cross_attention_probabilities(q, memory[0], source_lengths, scale=self.scale).transpose(1, 2)
            probabilities.append((weights if ragged is None else ragged.pack(weights)).transpose(1, 2))
        dropout = self.dropout if self.training else 0.0
        mixed = cross_attend(q, *memory, source_lengths, scale=self.scale, dropout=dropout).transpose(1, 2).flatten(2)
        return self.output(mixed if ragged is None else ragged.pack(mixed))
