"""Matrix products by the library that is fast on this processor.

On x86 processors not made by Intel fp32 linear layers, forward and backward, go to oneDNN (`trivium.nn.onednn` says
why). MKL's matrix-vector product, which is all of decoding one text, runs on one thread at 16 GB/s where a batched
product of a few slices of the same matrix reaches 40, so single rows go to that. Some rows, as in decoding a batch, may
find their weights packed (`trivium.nn.packed`). Everywhere else, and in every other dtype, linear layers are
``torch.nn.functional.linear``.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.onednn import onednn_linear, prefers_onednn
from trivium.nn.packed import Packable, Product


def matmul_nt(x: Float[Tensor, "M K"], w: Float[Tensor, "N K"]) -> Float[Tensor, "M N"]:
    """x w^T without a gradient; either may be a transposed view."""
    if x.dtype == torch.float32 and x.shape[0] > 1 and not x.is_cuda and prefers_onednn():
        return onednn_linear(x, w, None)
    return x @ w.t()


def batched_matmul_nt(x: Float[Tensor, "E M K"], w: Float[Tensor, "E N K"]) -> Float[Tensor, "E M N"]:
    """x_e w_e^T for every matrix of two stacks, without a gradient."""
    if x.dtype == torch.float32 and not x.is_cuda and prefers_onednn():
        return torch.stack([matmul_nt(a, b) for a, b in zip(x, w, strict=True)])
    return torch.bmm(x, w.mT)


class _OneDnnLinear(torch.autograd.Function):
    """y = x w^T + b with its three products in oneDNN."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return onednn_linear(x, weight, bias)

    @staticmethod
    def backward(ctx, upstream):
        x, weight = ctx.saved_tensors
        rows = upstream.reshape(-1, upstream.shape[-1])
        d_x = d_weight = None
        if ctx.needs_input_grad[0]:
            d_x = matmul_nt(rows, weight.t()).view(x.shape)
        if ctx.needs_input_grad[1]:
            d_weight = matmul_nt(rows.t(), x.reshape(-1, x.shape[-1]).t())
        d_bias = rows.sum(0) if ctx.has_bias and ctx.needs_input_grad[2] else None
        return d_x, d_weight, d_bias


def _matrix_vector(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """w x + b for one row, by slices of the matrix that several threads read at once."""
    slices = 2
    while slices < torch.get_num_threads():
        slices *= 2
    rows, width = weight.shape
    if rows % slices or not weight.is_contiguous():
        return F.linear(x, weight, bias)
    column = x.reshape(1, width).t().expand(slices, width, 1)  # these very strides: others are two times slower
    y = torch.bmm(weight.view(slices, -1, width), column).view(*x.shape[:-1], rows)
    return y if bias is None else y + bias


# Up to so many rows and weights oneDNN's start costs more than its kernel saves: the verification of a few guesses.
_FEW_ROWS, _SMALL_MATRIX = 6, 2**19


def _few_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x w^T + b for some rows of a small matrix, as one batched product of its halves, a thread each."""
    rows, width = weight.shape
    flat = x.reshape(-1, width)
    y = torch.bmm(flat.expand(2, *flat.shape), weight.view(2, -1, width).mT)
    y = y.transpose(0, 1).reshape(*x.shape[:-1], rows)
    return y if bias is None else y + bias


def linear(
    x: Float[Tensor, "... K"], weight: Float[Tensor, "N K"], bias: Tensor | None = None
) -> Float[Tensor, "... N"]:
    """``torch.nn.functional.linear``, by the faster library."""
    plain = x.dtype == weight.dtype == torch.float32 and not x.is_cuda and x.numel() > 0  # oneDNN refuses no rows
    if not plain or torch.is_autocast_enabled(x.device.type) or not prefers_onednn():
        return F.linear(x, weight, bias)
    single = x.numel() == x.shape[-1]
    # Not only where a gradient is needed: a frozen reference must round exactly as the model that is trained does.
    if torch.is_grad_enabled():
        return F.linear(x, weight, bias) if single else _OneDnnLinear.apply(x, weight, bias)
    if single:
        return _matrix_vector(x, weight, bias)
    few = x.numel() <= _FEW_ROWS * x.shape[-1] and weight.numel() <= _SMALL_MATRIX
    if few and weight.shape[0] % 2 == 0 and weight.is_contiguous():
        return _few_rows(x, weight, bias)
    return onednn_linear(x, weight, bias)


class Linear(nn.Linear, Packable):
    """``torch.nn.Linear`` whose product is ours: the same parameters, the same function."""

    def product(self) -> Product | None:
        return self.weight, self.bias

    def forward(self, input: Float[Tensor, "... K"]) -> Float[Tensor, "... N"]:
        if self.packed is not None and self.packed.fits(input):
            return self.packed(input)
        return linear(input, self.weight, self.bias)
