"""DoRA: h = m (W + s B A) x / ||W + s B A||, the norm of each row (Liu et al. 2024, eq. 5; their columns are our rows).

The norm counts as a constant in the backward pass (section 4.3). It is found without forming the sum:
||w + s b A||^2 = ||w||^2 + 2 s b (A w) + s^2 b (A A^T) b, for each row w of W and b of B.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_linear import Factors, LinearUpdate
from trivium.adapters.lora import LoRAConfig, draw
from trivium.adapters.sites import Site
from trivium.nn.linear import linear
from trivium.nn.quantized import NF4Linear


class DecomposedUpdate(LinearUpdate):
    """Directions W + scale * B A and their lengths, on the rows of one published matrix. B begins as zero and the
    lengths as those of W, so that a new adapter changes nothing."""

    changes_inputs = False
    square_norms: Tensor

    def __init__(self, site: Site, config: LoRAConfig, like: Tensor, weight: Float[Tensor, "F D"]) -> None:
        super().__init__(site)
        rank, self.scale = config.size(site)
        self.A = nn.Parameter(like.new_empty(rank, site.width))
        self.B = nn.Parameter(like.new_zeros(site.rows, rank))
        square_norms = weight.detach().square().sum(1)
        self.magnitude = nn.Parameter(square_norms.sqrt().to(like))
        self.register_buffer("square_norms", square_norms, persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        draw(self.A, config.start)

    def inputs(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return x

    def factors(self) -> Factors | None:
        return None

    def outputs(
        self, x: Float[Tensor, "... D"], y: Float[Tensor, "... F"], base: nn.Linear | NF4Linear
    ) -> Float[Tensor, "... F"]:
        weight = base.weight if isinstance(base, nn.Linear) else base.weight_in(x.dtype)
        gain = self._gain(weight[self.start : self.start + self.rows])
        update = linear(linear(self.dropout(x), self.A), self.B * (self.scale * gain)[:, None])
        if base.bias is None:
            return (y * gain + update).to(y.dtype)
        bias = base.bias[self.start : self.start + self.rows]
        return ((y - bias) * gain + update + bias).to(y.dtype)

    def merged(self, weight: Float[Tensor, "F D"], bias: Float[Tensor, "F"] | None) -> tuple[Tensor, Tensor | None]:
        direction = weight + self.B.to(weight.dtype) @ self.A.to(weight.dtype) * self.scale
        lengths = direction.detach().square().sum(1).sqrt()
        return direction * (self.magnitude.to(weight.dtype) / lengths)[:, None], bias

    def _gain(self, weight: Float[Tensor, "F D"]) -> Float[Tensor, "F"]:
        """m / ||W + s B A||, which has a gradient for m alone."""
        with torch.no_grad():
            a, b = self.A, self.B * self.scale
            cross = (linear(weight, a) * b).sum(1)
            square = (linear(b, linear(a, a)) * b).sum(1)
            norms = (self.square_norms + 2 * cross + square).clamp_min(0).sqrt().to(self.magnitude.dtype)
        return self.magnitude / norms
