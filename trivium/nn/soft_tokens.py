"""Tokens by soft-argmax: softmax(L logits) with a large L (Zhang et al. 2017, "TextGAN").

No chance is involved: what varies from text to text is where a text starts. As L grows this is the likeliest token;
between tokens whose logits are within about 1 / L of each other it is a mixture, and there alone has it a gradient.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def soft_argmax(logits: Float[Tensor, "*N V"], sharpness: float = 1000.0) -> Float[Tensor, "*N V"]:
    """softmax(sharpness * logits), in at least fp32: L = 1000 times a 16-bit logit would decide by rounding."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.softmax(sharpness * wide, dim=-1)


def soft_vectors(soft: Float[Tensor, "*N V"], vectors: Float[Tensor, "V D"]) -> Float[Tensor, "*N D"]:
    """The vectors of mixtures of tokens, from those of the tokens: what is fed back in place of an embedding."""
    return soft.to(vectors.dtype) @ vectors
