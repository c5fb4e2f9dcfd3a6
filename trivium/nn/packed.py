"""Weights in the layout in which oneDNN multiplies them, for the time that nothing changes them.

oneDNN lays out the matrix anew in every call. Beside a product of hundreds of rows that is nothing; for the few rows of
a decoding step it is half of the time (eight rows and the matrices of a GPT-2 of width 384: 1.2 ms a block, 0.6 where
they are packed). Packing costs as much as two or three steps, and as much memory as the weights, so only the writing of
many tokens does it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.onednn import prefers_onednn

MOST_ROWS = 64
"""Of a product: the layout's share of the time is small beyond, and the kernels for many rows want another one."""

Product = tuple[Float[Tensor, "N K"], Float[Tensor, "N"] | None]
"""A matrix and a bias."""


class Packed:
    """x w^T + b for few rows, with w laid out."""

    def __init__(self, product: Product, rows: int) -> None:
        self.of, self._bias = product
        self._weight = torch.ops.mkldnn._reorder_linear_weight(self.of, rows)
        self._numbers = MOST_ROWS * self.of.shape[1]

    def fits(self, x: Tensor) -> bool:
        """Whether it is what multiplies ``x``: a training pass has kernels of its own, which this must not differ from
        in any bit."""
        return 0 < x.numel() <= self._numbers and not torch.is_grad_enabled()

    def __call__(self, x: Float[Tensor, "... K"]) -> Float[Tensor, "... N"]:
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")


class Packable(ABC):
    """A module that is one product; it multiplies by ``packed`` where that is there and fits."""

    packed: Packed | None = None

    @abstractmethod
    def product(self) -> Product | None:
        """What it multiplies by now. None where it is no single product; a module inside may be one then."""


@contextmanager
def packed(model: nn.Module, rows: int) -> Iterator[None]:
    """Inside, products of a few rows are about twice as fast, where ``prefers_onednn`` and the weights are in fp32 on a
    CPU; nothing may change the weights meanwhile, nor which adapter answers. ``rows`` is how many there usually are."""
    done: list[Packable] = []
    try:
        if prefers_onednn():
            with torch.no_grad():
                _pack(model, rows, done)
        yield
    finally:
        for module in done:
            module.packed = None


def _pack(module: nn.Module, rows: int, done: list[Packable]) -> None:
    if isinstance(module, Packable) and (found := module.product()) is not None:
        weight = found[0]
        if weight.dtype == torch.float32 and weight.device.type == "cpu" and weight.layout == torch.strided:
            module.packed = Packed(found, rows)
            done.append(module)
        return
    for child in module.children():
        _pack(child, rows, done)
