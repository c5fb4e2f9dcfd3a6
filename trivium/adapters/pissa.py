"""PiSSA: A and B begin as the largest singular directions of W, and what is left of W is frozen (Meng et al. 2024).

W = U S V^T; A = sqrt(S_R) V_R^T, B = U_R sqrt(S_R), and W - B A stays (eq. 2 to 4). Here W itself stays as it is, so
that other adapters and rows without one still see it: the update is B A less the B A it began with, which is the same
function of the same A and B. What is saved is a plain LoRA of rank 2R for the original W, as PEFT converts it.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_linear import Factors, LinearUpdate
from trivium.adapters.lora import LoRAConfig, without_bias
from trivium.adapters.sites import Site
from trivium.nn.linear import linear
from trivium.nn.quantized import NF4Linear


class PrincipalUpdate(LinearUpdate):
    """scale * (B A - B_0 A_0) on the rows of one published matrix, where A_0 and B_0 are what A and B began as."""

    changes_inputs = False
    first_a: Tensor
    first_b: Tensor

    def __init__(self, site: Site, config: LoRAConfig, like: Tensor, weight: Float[Tensor, "F D"]) -> None:
        super().__init__(site)
        rank, self.scale = config.size(site)
        left, values, right = torch.linalg.svd(weight.detach(), full_matrices=False)
        root = (values[:rank] / self.scale).sqrt()
        self.A = nn.Parameter((root[:, None] * right[:rank]).to(like).contiguous())
        self.B = nn.Parameter((left[:, :rank] * root).to(like).contiguous())
        self.bias = nn.Parameter(like.new_zeros(site.rows)) if config.bias else None
        self.register_buffer("first_a", self.A.detach().clone())
        self.register_buffer("first_b", self.B.detach().clone())
        self.dropout = nn.Dropout(config.dropout)

    def inputs(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return x

    def factors(self) -> Factors | None:
        if self.bias is not None or (self.training and self.dropout.p > 0):
            return None
        a, b = self.plain
        return a, b * self.scale

    @property
    def plain(self) -> Factors:
        """A and B, of rank 2R, of the LoRA that is the same."""
        return torch.cat([self.A, self.first_a]), torch.cat([self.B, -self.first_b], dim=1)

    def outputs(
        self, x: Float[Tensor, "... D"], y: Float[Tensor, "... F"], base: nn.Linear | NF4Linear
    ) -> Float[Tensor, "... F"]:
        first = linear(linear(x, self.first_a), self.first_b)
        return y + (linear(linear(self.dropout(x), self.A), self.B, self.bias) - first) * self.scale

    def merged(self, weight: Float[Tensor, "F D"], bias: Float[Tensor, "F"] | None) -> tuple[Tensor, Tensor | None]:
        a, b = self.plain
        changed = weight + b.to(weight.dtype) @ a.to(weight.dtype) * self.scale
        if self.bias is None:
            return changed, bias
        if bias is None:
            raise without_bias(self.theirs)
        return changed, bias + self.bias.to(bias.dtype) * self.scale
