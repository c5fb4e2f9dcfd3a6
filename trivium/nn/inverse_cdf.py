"""Drawing from a categorical distribution by its summed probabilities.

One uniform number a draw, where a Gumbel perturbation needs one for every piece, and many times as fast as
``torch.multinomial`` over a large vocabulary.

Probabilities are added up one after the other, which no processor does quickly. Of many pieces only the sums of blocks
are, which are vector sums, and then the pieces of the one block in which the chance falls: a third of the time.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

_FEW_PIECES = 1024  # below, one sum over all of them is faster


def draw(logits: Float[Tensor, "*N V"], chances: Float[Tensor, "*N"]) -> Int[Tensor, "*N"]:
    """Of each distribution the piece at which its summed probabilities pass the chance, uniform in [0, 1).

    At least fp32: tens of thousands of probabilities are added up. A piece of logit -inf is never drawn.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    probabilities = torch.softmax(wide, dim=-1)
    chances = chances.to(probabilities.dtype)[..., None]
    pieces = logits.shape[-1]
    if pieces < _FEW_PIECES:
        summed = probabilities.cumsum(-1)
        return _passed(summed, chances * summed[..., -1:])[..., 0]
    size = math.isqrt(pieces)
    whole = pieces - pieces % size
    sums = probabilities[..., :whole].unflatten(-1, (-1, size)).sum(-1)
    if whole < pieces:
        sums = torch.cat([sums, probabilities[..., whole:].sum(-1, keepdim=True)], dim=-1)
    summed = sums.cumsum(-1)
    aims = chances * summed[..., -1:]
    block = _passed(summed, aims)
    before = F.pad(summed, (1, 0)).gather(-1, block)
    places = block * size + torch.arange(size, device=logits.device)
    own = probabilities.gather(-1, places.clamp(max=pieces - 1)).masked_fill_(places >= pieces, 0)
    return block[..., 0] * size + _passed(own.cumsum(-1), aims - before)[..., 0]


def _passed(summed: Float[Tensor, "*N V"], aims: Float[Tensor, "*N 1"]) -> Int[Tensor, "*N 1"]:
    """Where the sums are first above the aims. By rounding an aim may not be below the last sum: it is drawn down to
    it, or what is found there had no probability."""
    below = torch.nextafter(summed[..., -1:], torch.zeros_like(aims))
    return torch.searchsorted(summed, torch.minimum(aims, below), right=True)
