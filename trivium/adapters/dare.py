"""DARE: most of a change is dropped at random, and the rest grows to make up for it (Yu et al. 2024, section 3.2)."""

import torch
from jaxtyping import Float
from torch import Tensor


def dare(change: Float[Tensor, "*S"], density: float, generator: torch.Generator) -> Float[Tensor, "*S"]:
    """Each number is kept with probability ``density`` and divided by it: on average the change is what it was.

    The draws depend on the generator alone, not on the device of ``change``.
    """
    kept = torch.rand(change.shape, generator=generator) < density
    return torch.where(kept.to(change.device), change / density, 0)
