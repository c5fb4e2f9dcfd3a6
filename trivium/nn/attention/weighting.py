"""What every attention to a source does with its scores: a softmax over what is there, and a weighted sum."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def weighted(
    scores: Float[Tensor, "B T S"], memory: Float[Tensor, "B S M"], visible: Bool[Tensor, "B S"]
) -> tuple[Float[Tensor, "B T M"], Float[Tensor, "B T S"]]:
    """Contexts c_t = sum_s a_ts m_s and the weights a, which are zero where not ``visible``."""
    weights = torch.softmax(scores.masked_fill(~visible[:, None], float("-inf")), dim=-1)
    return torch.bmm(weights, memory), weights
