"""Matrix products by the library that is fast on this processor.

PyTorch sends fp32 products on a CPU to MKL, which keeps its AVX-512 kernels for Intel's processors.
On an AMD EPYC (Zen 5, two cores) MKL reaches about 185 GFLOP/s and oneDNN, which ships in the same
wheel and generates its code for the processor it finds, about 400. Its matrix-vector product, which is
all of decoding one text, runs on one thread at 16 GB/s where a batched product of a few slices of the same
matrix reaches 40. So on x86 processors not made by Intel fp32 linear layers, forward and backward, go
to oneDNN, and single rows to that batched product; everywhere else, and in every other dtype, they are
``torch.nn.functional.linear``.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@torch.compiler.assume_constant_result  # or Dynamo would trace the reading of the file below
@cache
def prefers_onednn() -> bool:
    """Whether fp32 products go to oneDNN here: an x86 processor with AVX2 that MKL does not favour."""
    if not torch.backends.mkldnn.is_available():
        return False
    cpu = Path("/proc/cpuinfo")
    text = cpu.read_text(errors="replace") if cpu.exists() else ""
    return "GenuineIntel" not in text and "avx2" in text


@torch.library.custom_op("trivium::onednn_linear", mutates_args=())
def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x w^T + b. An operation of its own because Inductor lowers PyTorch's for frozen weights only."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@_onednn_linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x w^T + b by oneDNN, also where `torch.compile` traces; called plainly it is spared the dispatch, 20 us."""
    if torch.compiler.is_compiling():
        return _onednn_linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


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


class Linear(nn.Linear):
    """``torch.nn.Linear`` whose product is ours: the same parameters, the same function."""

    def forward(self, input: Float[Tensor, "... K"]) -> Float[Tensor, "... N"]:
        return linear(input, self.weight, self.bias)
