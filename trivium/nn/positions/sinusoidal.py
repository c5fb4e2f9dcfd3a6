"""Sines and cosines of the position (Vaswani et al. 2017, section 3.5): nothing is learned, and no length is the last.

    PE(m, 2i) = sin(m / 10000^(2i / D))        PE(m, 2i + 1) = cos(m / 10000^(2i / D))

The paper's equation lets sines and cosines take turns. Most programs, ``transformers`` for Marian's models among them,
put all sines into the first half and all cosines into the second: the same up to a fixed permutation of the features,
but weights that were trained with one do not work with the other.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError

SineLayout = Literal["halves", "interleaved"]
_BASE = 10000.0


class SinusoidalPositions(nn.Module):
    """The vector of each position; it has no parameters."""

    def __init__(self, width: int, layout: SineLayout = "halves") -> None:
        super().__init__()
        if width % 2:
            raise ConfigError("sinusoidal positions are pairs of features", received=f"width {width}", expected="even")
        self.width, self.layout = width, layout

    def forward(self, positions: Int[Tensor, "B T"], dtype: torch.dtype) -> Float[Tensor, "B T D"]:
        """Vectors of the given positions, rounded to ``dtype`` at the very end.

        In fp32 the angle of position 1,000 alone may be off by 3e-5.
        """
        exponents = torch.arange(0, self.width, 2, dtype=torch.float64, device=positions.device) / self.width
        angles = positions[..., None] * _BASE**-exponents
        pair = (angles.sin().to(dtype), angles.cos().to(dtype))
        return torch.cat(pair, dim=-1) if self.layout == "halves" else torch.stack(pair, dim=-1).flatten(-2)
