"""A draw from a categorical distribution that lets a gradient through (Jang et al. 2017; Maddison et al. 2017).

With g_v = -log(-log(u_v)), u_v uniform, argmax_v (o_v + g_v) is a draw from softmax(o) (Gumbel 1954; Jang et al. 2017,
eq. 1). The softmax in its place, y = softmax(beta (o + g)), is a mixture of tokens near the one drawn, and has a
gradient (Jang et al. 2017, eq. 2; as RelGAN writes it, Nie et al. 2019). ``beta`` is an *inverse* temperature: it
multiplies, and as it grows y becomes the token that was drawn.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def gumbel_noise(like: Float[Tensor, "*N V"]) -> Float[Tensor, "*N V"]:
    """Standard Gumbel noise -log(-log(1 - u)), in at least fp32, from torch's own chance.

    From uniform numbers: torch's exponential ones take ten times as long on a CPU, longer than all else of a step.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    exponential = torch.rand(like.shape, dtype=dtype, device=like.device).neg_().log1p_().neg_()
    # Half a step of the uniform numbers: one of them in 16 million is 0, and infinite noise makes NaN of a softmax.
    least = torch.finfo(dtype).eps / 4
    return exponential.clamp_(min=least).log_().neg_()


def relaxed(perturbed: Float[Tensor, "*N V"], beta: float) -> Float[Tensor, "*N V"]:
    """softmax(beta * perturbed) for ``perturbed`` = logits + noise: probabilities, nearly all on the token drawn."""
    return torch.softmax(beta * perturbed, dim=-1)


def straight_through(soft: Float[Tensor, "*N V"], chosen: Int[Tensor, "*N"]) -> Float[Tensor, "*N V"]:
    """Exactly one-hot at ``chosen``; backwards, as if it were ``soft`` (Bengio, Léonard and Courville 2013).

    The usual ``one_hot + soft - soft.detach()`` is one-hot up to rounding only: what reads it can tell it from a real
    text by the last digit.
    """
    return _StraightThrough.apply(soft, chosen)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, soft, chosen):
        return F.one_hot(chosen, soft.shape[-1]).to(soft.dtype)

    @staticmethod
    def backward(ctx, upstream):
        return upstream, None
