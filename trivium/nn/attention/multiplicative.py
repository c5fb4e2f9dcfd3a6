"""Multiplicative attention (Luong, Pham and Manning 2015, section 3.1): a score is a product of two vectors.

The paper's third score, "concat", is v^T tanh(W [q; m]) = v^T tanh(W_q q + W_m m): the network of ``additive.py``.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trivium.nn.attention.weighting import weighted
from trivium.nn.linear import Linear


class MultiplicativeAttention(nn.Module):
    """score(q, m_s) = q^T m_s ("dot"), or q^T W m_s ("general"), whose W m_s ``project`` makes once for a source."""

    def __init__(self, query_width: int, memory_width: int, *, general: bool) -> None:
        super().__init__()
        assert general or query_width == memory_width, (query_width, memory_width)
        self.key = Linear(memory_width, query_width, bias=False) if general else nn.Identity()
        if isinstance(self.key, Linear):
            nn.init.xavier_uniform_(self.key.weight)

    def project(self, memory: Float[Tensor, "B S M"]) -> Float[Tensor, "B S D"]:
        """What a query is multiplied with, for every source position."""
        return self.key(memory)

    def forward(
        self,
        query: Float[Tensor, "B T D"],
        memory: Float[Tensor, "B S M"],
        keys: Float[Tensor, "B S D"],
        visible: Bool[Tensor, "B S"],
    ) -> tuple[Float[Tensor, "B T M"], Float[Tensor, "B T S"]]:
        """The context of every query and the weights, which are zero where not ``visible``."""
        return weighted(torch.bmm(query, keys.mT), memory, visible)
