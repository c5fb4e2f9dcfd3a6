"""The library whose products are fast on this processor.

PyTorch sends fp32 products on a CPU to MKL, which keeps its AVX-512 kernels for Intel's processors.
On an AMD EPYC (Zen 5, two cores) MKL reaches about 185 GFLOP/s and oneDNN, which ships in the same
wheel and generates its code for the processor it finds, about 400.
"""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor


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
