"""Layers whose weights stay packed in NF4, and how a model is packed: whole, or tensor by tensor as it is loaded."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.experts import GroupedLinear
from trivium.nn.linear import Linear, linear
from trivium.nn.nf4 import PackedNF4, keep_wide
from trivium.nn.quantized_experts import NF4GroupedLinear, packed_experts, unpacked_experts
from trivium.nn.routing import Router
from trivium.nn.weight_map import InParts


class NF4Linear(nn.Module):
    """``x W^T + b`` with ``W`` in NF4 and frozen; the full matrix exists only during a call.

    The gradient flows to ``x`` (through adapters below) and to the bias; in the backward pass the matrix
    is unpacked again rather than kept.
    """

    codes: Tensor
    scales: Tensor
    scale_scales: Tensor | None
    scale_offset: Tensor | None

    def __init__(self, weight: Float[Tensor, "F D"], bias: nn.Parameter | None = None, *, double: bool = True) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        packed = PackedNF4.pack(weight, double=double)
        self.register_buffer("codes", packed.codes)
        self.register_buffer("scales", packed.scales)
        self.register_buffer("scale_scales", packed.scale_scales)
        self.register_buffer("scale_offset", packed.scale_offset)
        self.bias = bias

    @property
    def packed(self) -> PackedNF4:
        """The weight as it is kept."""
        return PackedNF4(self.codes, self.scales, self.scale_scales, self.scale_offset)

    def weight_in(self, dtype: torch.dtype) -> Float[Tensor, "F D"]:
        """The whole matrix, unpacked."""
        shape = (self.out_features, self.in_features)
        return self.packed.unpack(self.out_features * self.in_features, dtype).view(shape)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... F"]:
        tensors = (self.codes, self.scales, self.scale_scales, self.scale_offset)
        out = _PackedLinear.apply(x, self.out_features, *tensors)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """Shape and packing, as ``print(model)`` shows them."""
        double = self.scale_scales is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, double={double}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return keep_wide(self, lambda: super(NF4Linear, self)._apply(fn, recurse))


class _PackedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, out_features, *tensors):
        ctx.save_for_backward(*tensors)
        ctx.shape = (out_features, x.shape[-1])
        return linear(x, _unpacked(tensors, ctx.shape, x.dtype))

    @staticmethod
    def backward(ctx, upstream):
        weight = _unpacked(ctx.saved_tensors, ctx.shape, upstream.dtype)
        return linear(upstream, weight.t()), None, None, None, None, None


def _unpacked(tensors: tuple[Tensor, ...], shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    return PackedNF4(*tensors).unpack(shape[0] * shape[1], dtype).view(shape)


def packable(model: nn.Module) -> Iterator[tuple[str, nn.Linear | GroupedLinear]]:
    """The matrices inside ``model.blocks``: embeddings, norms and the output head stay as they are, and so do the
    routers of experts, which are small and whose least error sends a token elsewhere."""
    blocks: nn.Module = model.get_submodule("blocks")
    routers = {f"{name}.logits" for name, module in blocks.named_modules() if isinstance(module, Router)}
    for name, module in blocks.named_modules():
        if isinstance(module, nn.Linear | GroupedLinear) and name not in routers:
            yield f"blocks.{name}", module


def _packed(layer: nn.Linear | GroupedLinear, weight: Tensor, double: bool) -> NF4Linear | NF4GroupedLinear:
    pack = NF4Linear if isinstance(layer, nn.Linear) else packed_experts
    return pack(weight, layer.bias, double=double)


def quantise_linears(model: nn.Module, *, double: bool = True) -> list[str]:
    """Pack every matrix inside ``model.blocks`` in place, one after the other; returns the layers' names."""
    names = []
    for name, layer in list(packable(model)):
        _place(model, name, _packed(layer, layer.weight, double))
        names.append(name)
    return names


def dequantise(model: nn.Module) -> list[str]:
    """Unpack every packed layer of ``model`` in place, into what its codes stand for, in fp32; returns their names."""
    names = []
    for name, layer in list(model.named_modules()):
        if isinstance(layer, NF4Linear):
            full: nn.Module = Linear(layer.in_features, layer.out_features, bias=False, device="meta")
            full.weight = nn.Parameter(layer.weight_in(torch.float32))
        elif isinstance(layer, NF4GroupedLinear):
            full = unpacked_experts(layer, torch.float32)
        else:
            continue
        full.bias = layer.bias
        _place(model, name, full)
        names.append(name)
    return names


class QuantisingAssign(InParts):
    """An ``assign`` for ``weight_map.load_into`` that packs each matrix as it arrives, of experts one after the other.

    ``model`` was built without storage (``with torch.device("meta")``), so that at no time more than one matrix is held
    in full (where experts were published as one tensor: one such): the matrices of ``model.blocks`` become NF4, every
    other parameter one in ``dtype``, and buffers stay buffers. Tied parameters stay tied.
    """

    def __init__(self, model: nn.Module, *, dtype: torch.dtype = torch.float32, double: bool = True) -> None:
        self._model, self._dtype, self._double = model, dtype, double
        self._packable = {f"{name}.weight": name for name, _ in packable(model)}
        self._parts: dict[str, list[PackedNF4]] = defaultdict(list)
        holders: dict[nn.Parameter, list[str]] = defaultdict(list)
        for name, parameter in model.named_parameters(remove_duplicate=False):
            holders[parameter].append(name)
        self._names = {name: shared for shared in holders.values() for name in shared}
        self._buffers = {name for name, _ in model.named_buffers()}

    def __call__(self, name: str, tensor: Tensor) -> None:
        if name in self._packable:
            path = self._packable[name]
            _place(self._model, path, _packed(self._layer(path), tensor, self._double))
            return
        if name in self._buffers:
            _place(self._model, name, tensor)
            return
        parameter = nn.Parameter(tensor.to(self._dtype))
        for shared in self._names[name]:
            _place(self._model, shared, parameter)

    def takes(self, name: str) -> bool:
        return name in self._packable

    def part(self, name: str, tensor: Tensor) -> None:
        layer, parts = self._layer(self._packable[name]), self._parts[name]
        assert isinstance(layer, GroupedLinear)
        parts.append(PackedNF4.pack(tensor, double=self._double))
        if len(parts) == layer.experts:
            packed = NF4GroupedLinear(self._parts.pop(name), layer.outputs, layer.inputs, layer.bias)
            _place(self._model, self._packable[name], packed)

    def _layer(self, path: str) -> nn.Linear | GroupedLinear:
        layer = self._model.get_submodule(path)
        assert isinstance(layer, nn.Linear | GroupedLinear)
        return layer


def _place(model: nn.Module, name: str, value: nn.Module | Tensor) -> None:
    owner, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(owner), attribute, value)
