"""Which places of a row hold a token: what an auxiliary loss of a model is summed over."""

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


def real_tokens(
    x: Shaped[Tensor, "B T *_"], *, lengths: Int[Tensor, "B"] | None = None, segments: Int[Tensor, "B T"] | None = None
) -> Bool[Tensor, "B T"]:
    """True but for padding; ``lengths`` and ``segments`` are those of the forward pass over rows ``x``."""
    if segments is not None:
        return segments >= 0
    places = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
    return torch.ones_like(places, dtype=torch.bool) if lengths is None else places < lengths[:, None]
