"""Root-mean-square normalisation; layer normalisation is ``torch.nn.LayerNorm``."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * (offset + g) (Zhang and Sennrich 2019, eq. 4).

    The gain begins as 1. With an ``offset`` of 1 the weight is the distance from that, as Gemma keeps it: weight decay
    then draws the gain to 1 and not to 0.

    Written with its own gradient: on a CPU ``torch.rms_norm`` is a chain of five elementwise passes,
    and training through it took 2.5 times as long (2,048 x 384, two cores).
    """

    def __init__(self, width: int, epsilon: float = 1e-6, *, offset: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), 1.0 - offset))
        self.epsilon, self.offset = epsilon, offset

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        if torch.is_grad_enabled():
            return _RMSNorm.apply(x, self.weight, self.epsilon, self.offset)
        return _gained(_normed(x, self.epsilon)[0], self.weight, self.offset, x.dtype)


def _normed(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """``x`` divided by its root mean square, and one over that; both in fp32 at least."""
    # The mean square of a bf16 row loses most of its digits.
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    scale = (wide.square().mean(-1, keepdim=True) + epsilon).rsqrt()
    return wide * scale, scale


def _gained(normed: Tensor, weight: Tensor, offset: float, dtype: torch.dtype) -> Tensor:
    if not offset:
        return normed.to(dtype) * weight
    # In bf16 1 + g would be one of a hundred numbers between 1 and 2, so the sum and its product stay in fp32.
    return (normed * (weight.to(normed.dtype) + offset)).to(dtype)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, epsilon, offset):
        normed, scale = _normed(x, epsilon)
        ctx.save_for_backward(normed.to(x.dtype), scale, weight)
        ctx.offset = offset
        return _gained(normed, weight, offset, x.dtype)

    @staticmethod
    def backward(ctx, upstream):
        normed, scale, weight = ctx.saved_tensors
        d_weight = (upstream * normed).reshape(-1, weight.shape[0]).sum(0) if ctx.needs_input_grad[1] else None
        gain = weight.to(scale.dtype) + ctx.offset if ctx.offset else weight
        d_normed = (upstream * gain).to(upstream.dtype)
        # d x = scale * (d_n - n * mean(d_n * n)): the projection on n is what the normalisation removes
        along = (d_normed * normed).mean(-1, keepdim=True)
        d_x = torch.addcmul(d_normed, normed, along, value=-1).mul_(scale.to(d_normed.dtype))
        return d_x, d_weight, None, None
