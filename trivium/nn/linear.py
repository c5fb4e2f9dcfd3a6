"""Matrix products by the library that is fast on this processor.

PyTorch sends fp32 products on a CPU to MKL, which keeps its AVX-512 kernels for Intel's processors.
On an AMD EPYC (Zen 5, two cores) MKL reaches about 185 GFLOP/s and oneDNN, which ships in the same
wheel and generates its code for the processor it finds, about 400. So on x86 processors not made by Intel
fp32 linear layers, forward and backward, go to oneDNN; everywhere else, and in every other dtype,
they are ``torch.nn.functional.linear``.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@cache
def prefers_onednn() -> bool:
    """Whether fp32 products go to oneDNN here: an x86 processor with AVX2 that MKL does not favour."""
    if not torch.backends.mkldnn.is_available():
        return False
    cpu = Path("/proc/cpuinfo")
    text = cpu.read_text(errors="replace") if cpu.exists() else ""
    return "GenuineIntel" not in text and "avx2" in text


def matmul_nt(x: Float[Tensor, "M K"], w: Float[Tensor, "N K"]) -> Float[Tensor, "M N"]:
    """x w^T without a gradient; either may be a transposed view."""
    # One row is a matrix-vector product, bound by memory: MKL's is as fast, and cheaper to call.
    if x.dtype == torch.float32 and x.shape[0] > 1 and not x.is_cuda and prefers_onednn():
        return torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")
    return x @ w.t()


class _OneDnnLinear(torch.autograd.Function):
    """y = x w^T + b with its three products in oneDNN."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

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


def linear(
    x: Float[Tensor, "... K"], weight: Float[Tensor, "N K"], bias: Tensor | None = None
) -> Float[Tensor, "... N"]:
    """``torch.nn.functional.linear``, by the faster library."""
    rows = x.numel() // x.shape[-1]
    if x.dtype != torch.float32 or weight.dtype != torch.float32 or rows < 2 or x.is_cuda or not prefers_onednn():
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _OneDnnLinear.apply(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class Linear(nn.Linear):
    """``torch.nn.Linear`` whose product is ours: the same parameters, the same function."""

    def forward(self, input: Float[Tensor, "... K"]) -> Float[Tensor, "... N"]:
        return linear(input, self.weight, self.bias)
