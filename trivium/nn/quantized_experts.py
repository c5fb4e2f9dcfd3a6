"""The matrices of experts in NF4, packed and unpacked one expert at a time."""

from collections.abc import Callable, Sequence
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.experts import GroupedLinear, Grouping, expert_slices
from trivium.nn.linear import linear
from trivium.nn.nf4 import PackedNF4, keep_wide


class NF4GroupedLinear(nn.Module):
    """`GroupedLinear` with its matrices in NF4 and frozen; during a call one expert's is there in full.

    The gradient flows to the rows and to the bias; in the backward pass the matrices are unpacked again.
    """

    codes: Tensor
    scales: Tensor
    scale_scales: Tensor | None
    scale_offset: Tensor | None

    def __init__(
        self, packed: Sequence[PackedNF4], outputs: int, inputs: int, bias: nn.Parameter | None = None
    ) -> None:
        super().__init__()
        self.experts, self.outputs, self.inputs = len(packed), outputs, inputs
        self.register_buffer("codes", torch.stack([each.codes for each in packed]))
        self.register_buffer("scales", torch.stack([each.scales for each in packed]))
        self.register_buffer("scale_scales", _stacked([each.scale_scales for each in packed]))
        self.register_buffer("scale_offset", _stacked([each.scale_offset for each in packed]))
        self.bias = bias

    def weight_of(self, expert: int, dtype: torch.dtype) -> Float[Tensor, "N K"]:
        """One expert's matrix, unpacked."""
        return _unpacked(self._tensors(), expert, (self.outputs, self.inputs), dtype)

    def _tensors(self) -> tuple[Tensor | None, ...]:
        return self.codes, self.scales, self.scale_scales, self.scale_offset

    def forward(self, rows: Float[Tensor, "M K"], grouping: Grouping) -> Float[Tensor, "M N"]:
        """Rows that belong to no expert give 0."""
        if torch.is_autocast_enabled(rows.device.type):
            rows = rows.to(torch.get_autocast_dtype(rows.device.type))
        y = _PackedGrouped.apply(rows, (self.outputs, self.inputs), grouping.sizes, *self._tensors())
        if self.bias is None:
            return y
        parts = [self.bias[e].to(y.dtype).expand(own.stop - own.start, -1) for e, own in expert_slices(grouping.sizes)]
        return y + torch.cat([*parts, y.new_zeros(y.shape[0] - sum(grouping.sizes), y.shape[1])])

    def of(self, expert: int, rows: Float[Tensor, "M K"]) -> Float[Tensor, "M N"]:
        """All ``rows`` through one expert."""
        return linear(rows, self.weight_of(expert, rows.dtype), None if self.bias is None else self.bias[expert])

    def extra_repr(self) -> str:
        """Shape and packing, as ``print(model)`` shows them."""
        double = self.scale_scales is not None
        return f"experts={self.experts}, inputs={self.inputs}, outputs={self.outputs}, double={double}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return keep_wide(self, lambda: super(NF4GroupedLinear, self)._apply(fn, recurse))


def packed_experts(
    weight: Float[Tensor, "E N K"], bias: nn.Parameter | None = None, *, double: bool = True
) -> NF4GroupedLinear:
    """The layer of a whole stack of matrices."""
    return NF4GroupedLinear([PackedNF4.pack(matrix, double=double) for matrix in weight], *weight.shape[1:], bias)


def unpacked_experts(layer: NF4GroupedLinear, dtype: torch.dtype) -> GroupedLinear:
    """The layer with full matrices: what its codes stand for; without a bias."""
    with torch.device("meta"):
        full = GroupedLinear(layer.experts, layer.inputs, layer.outputs)
    full.weight = nn.Parameter(torch.stack([layer.weight_of(e, dtype) for e in range(layer.experts)]))
    return full


def _stacked(tensors: list[Tensor | None]) -> Tensor | None:
    found = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(found) if found else None


def _unpacked(
    tensors: tuple[Tensor | None, ...], expert: int, shape: tuple[int, int], dtype: torch.dtype
) -> Float[Tensor, "N K"]:
    codes, scales, scale_scales, offset = (None if tensor is None else tensor[expert] for tensor in tensors)
    assert codes is not None
    assert scales is not None
    return PackedNF4(codes, scales, scale_scales, offset).unpack(shape[0] * shape[1], dtype).view(shape)


class _PackedGrouped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, shape, sizes, *tensors):
        ctx.save_for_backward(*tensors)
        ctx.shape, ctx.sizes = shape, sizes
        y = rows.new_zeros(rows.shape[0], shape[0])
        for expert, own in expert_slices(sizes):
            y[own] = linear(rows[own], _unpacked(tensors, expert, shape, rows.dtype))
        return y

    @staticmethod
    def backward(ctx, upstream):
        d_rows = upstream.new_zeros(upstream.shape[0], ctx.shape[1])
        for expert, own in expert_slices(ctx.sizes):
            d_rows[own] = linear(upstream[own], _unpacked(ctx.saved_tensors, expert, ctx.shape, upstream.dtype).t())
        return d_rows, None, None, None, None, None, None
