"""Additive attention (Bahdanau, Cho and Bengio 2015, appendix A.1.2)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trivium.nn.attention.weighting import weighted
from trivium.nn.linear import Linear


class AdditiveAttention(nn.Module):
    """a(s, h_j) = v^T tanh(W s + U h_j), a small network that scores a query against every source position.

    U h_j does not depend on the query: ``project`` makes it once for a source, and it is kept in the state.
    """

    def __init__(self, query_width: int, memory_width: int, width: int) -> None:
        super().__init__()
        self.query = Linear(query_width, width, bias=False)
        self.key = Linear(memory_width, width, bias=False)
        self.score = Linear(width, 1, bias=False)
        for linear in (self.query, self.key, self.score):
            nn.init.xavier_uniform_(linear.weight)

    def project(self, memory: Float[Tensor, "B S M"]) -> Float[Tensor, "B S A"]:
        """U h_j for every source position."""
        return self.key(memory)

    def forward(
        self,
        query: Float[Tensor, "B T D"],
        memory: Float[Tensor, "B S M"],
        keys: Float[Tensor, "B S A"],
        visible: Bool[Tensor, "B S"],
    ) -> tuple[Float[Tensor, "B T M"], Float[Tensor, "B T S"]]:
        """The context c = sum_j alpha_j h_j of every query and the weights alpha, which are zero where not
        ``visible``."""
        energies = self.score(torch.tanh(self.query(query)[:, :, None] + keys[:, None]))[..., 0]
        return weighted(energies, memory, visible)
