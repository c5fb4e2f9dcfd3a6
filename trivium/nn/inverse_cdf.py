"""Drawing from a categorical distribution by its summed probabilities.

One uniform number a draw, where a Gumbel perturbation needs one for every piece, and about ten times as fast as
``torch.multinomial`` over a large vocabulary.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def draw(logits: Float[Tensor, "*N V"], chances: Float[Tensor, "*N"]) -> Int[Tensor, "*N"]:
    """Of each distribution the piece at which its summed probabilities pass the chance, uniform in [0, 1).

    At least fp32: tens of thousands of probabilities are added up.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    summed = torch.softmax(wide, dim=-1).cumsum(-1)
    aims = chances.to(summed.dtype)[..., None] * summed[..., -1:]
    passed = torch.searchsorted(summed, aims, right=True)[..., 0]
    return passed.clamp(max=logits.shape[-1] - 1)  # a chance times the sum may round up to the sum
