"""TIES: changes that disagree are made to agree before they are averaged (Yadav et al. 2023, algorithm 1)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def trim(change: Float[Tensor, "..."], density: float) -> Float[Tensor, "..."]:
    """The ``density`` of the numbers that are largest by magnitude; the others become 0."""
    kept = int(density * change.numel())
    flat = torch.zeros_like(change).view(-1)
    index = change.reshape(-1).abs().topk(kept).indices
    flat[index] = change.reshape(-1)[index]
    return flat.view_as(change)


def agreeing(changes: Sequence[Float[Tensor, "*S"]], weights: Sequence[float]) -> Float[Tensor, "*S"]:
    """Elect for each number the sign of larger total, and average what has it, each times its weight.

    A number that is 0 takes no part. Only two tensors of the size of a change are held beside them.
    """
    elected = torch.zeros_like(changes[0])
    for change in changes:
        elected += change
    elected = torch.where(elected >= 0, 1.0, -1.0).to(elected.dtype)
    total, count = torch.zeros_like(elected), torch.zeros_like(elected)
    for change, weight in zip(changes, weights, strict=True):
        agrees = change.sign() == elected
        total += torch.where(agrees, change * weight, 0)
        count += agrees
    return total / count.clamp(min=1)


def ties(changes: Sequence[Float[Tensor, "*S"]], weights: Sequence[float], density: float) -> Float[Tensor, "*S"]:
    """Trim, elect sign, disjoint merge. The paper's lambda is a common factor of ``weights``, its density 0.2."""
    return agreeing([trim(change, density) for change in changes], weights)
