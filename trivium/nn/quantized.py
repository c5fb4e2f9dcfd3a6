"""Linear layers whose weights stay packed: NF4, the 4-bit NormalFloat of QLoRA (Dettmers et al. 2023, section 3).

A weight is cut into blocks of 64 in storage order; each keeps its largest magnitude and, for every
value, the index of the nearest of 16 codes. *Double quantisation* packs those magnitudes too, in
8 bits, blocks of 256 (4.5 bits a weight become 4.13). The packed bytes equal those of bitsandbytes; of the
8-bit codes about one in a thousand differs, where its CPU look-up misses the nearest code and ours does not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from trivium.nn.linear import linear

BLOCK = 64
"""Weights that share one magnitude."""
SCALE_BLOCK = 256
"""Magnitudes that share one of their own, under double quantisation."""

# Appendix E of the paper, as published: quantiles of N(0, 1) scaled to [-1, 1], with an exact zero.
NF4_CODES = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)


@cache
def dynamic_codes() -> tuple[float, ...]:
    """The 256 values of the signed 8-bit dynamic code (Dettmers 2016, section 2; 7 exponents), in order.

    Around each power of ten from 1e-6 to 1 stand 1, 2, 4, ..., 64 evenly spaced fractions of either sign.
    """
    values = [0.0, 1.0]
    for exponent in range(7):
        edges = torch.linspace(0.1, 1, 2**exponent + 1, dtype=torch.float32)
        fractions = 10.0 ** (exponent - 6) * ((edges[:-1] + edges[1:]) / 2)
        values += fractions.tolist() + (-fractions).tolist()
    assert len(values) == 256
    return tuple(sorted(values))


def nearest_codes(values: Float[Tensor, "N"], codes: Float[Tensor, "C"]) -> UInt8[Tensor, "N"]:
    """Index of the nearest of the sorted ``codes``; exactly between two, the lower one."""
    middles = (codes[1:] + codes[:-1]) / 2
    return torch.bucketize(values, middles).to(torch.uint8)


@dataclass(frozen=True)
class PackedNF4:
    """A tensor of ``size`` numbers in NF4. Double quantisation where ``scale_scales`` is set."""

    codes: UInt8[Tensor, "_"]
    """Two codes a byte, the first in the high half."""
    scales: Tensor
    """Magnitude of each block: fp32, or under double quantisation the 8-bit code of (magnitude - offset)."""
    scale_scales: Float[Tensor, "_"] | None
    """Magnitude of each block of ``scales``."""
    scale_offset: Float[Tensor, ""] | None
    """Mean magnitude: what is left lies around zero, where the 8-bit code is densest."""

    @classmethod
    def pack(cls, values: Float[Tensor, "..."], *, double: bool) -> Self:
        """Quantise in fp32; ``double`` packs the magnitudes too."""
        codes, scales = _to_codes(values.detach().float().reshape(-1), BLOCK, _table(NF4_CODES, values.device))
        if codes.shape[0] % 2:
            codes = F.pad(codes, (0, 1))
        packed = codes[0::2] << 4 | codes[1::2]
        if not double:
            return cls(packed, scales, None, None)
        offset = scales.mean()
        scale_codes, scale_scales = _to_codes(scales - offset, SCALE_BLOCK, _table(dynamic_codes(), values.device))
        return cls(packed, scale_codes, scale_scales, offset)

    def unpack(self, size: int, dtype: torch.dtype) -> Float[Tensor, "N"]:
        """The ``size`` numbers that the codes stand for; the product of code and magnitude is taken in fp32."""
        scales = self.scales
        if self.scale_scales is not None:
            assert self.scale_offset is not None
            table = _table(dynamic_codes(), scales.device)
            scales = _scaled(table[scales.int()], self.scale_scales, SCALE_BLOCK) + self.scale_offset
        pairs = _pair_table(self.codes.device).index_select(0, self.codes.int())  # two weights a look-up
        return _scaled(pairs.view(-1)[:size], scales, BLOCK).to(dtype)


def _table(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)


def _pair_table(device: torch.device) -> Float[Tensor, "256 2"]:
    codes = _table(NF4_CODES, device)
    return torch.cartesian_prod(codes, codes)


def _to_codes(values: Tensor, block: int, table: Tensor) -> tuple[Tensor, Tensor]:
    """Codes ``[N]`` and the magnitude of each block; the last block may be short."""
    padded = F.pad(values, (0, -values.shape[0] % block)).view(-1, block)
    scales = padded.abs().amax(1)
    # A block of zeros has no scale: dividing by 1 leaves its zeros, which have a code of their own.
    scaled = (padded * (1 / torch.where(scales > 0, scales, 1))[:, None]).clamp(-1, 1)
    return nearest_codes(scaled.view(-1)[: values.shape[0]], table), scales


def _scaled(values: Tensor, scales: Tensor, block: int) -> Tensor:
    whole = values.shape[0] // block * block
    if whole == values.shape[0]:
        return (values.view(-1, block) * scales[:, None]).view(-1)
    head = values[:whole].view(-1, block) * scales[:-1, None]
    return torch.cat([head.view(-1), values[whole:] * scales[-1]])


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
        # A model sent to bf16 keeps its magnitudes in fp32: only the device of the packed tensors follows.
        kept = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)
        for name, buffer in kept.items():
            moved = self._buffers[name]
            assert moved is not None
            if moved.dtype != buffer.dtype:
                self._buffers[name] = buffer.to(moved.device)
        return self


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


def packable_linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers inside ``model.blocks``: embeddings, norms and the output head stay as they are."""
    blocks: nn.Module = model.get_submodule("blocks")
    for name, module in blocks.named_modules():
        if isinstance(module, nn.Linear):
            yield f"blocks.{name}", module


def quantise_linears(model: nn.Module, *, double: bool = True) -> list[str]:
    """Pack every linear layer inside ``model.blocks`` in place, one after the other; returns their names."""
    names = []
    for name, layer in list(packable_linears(model)):
        _place(model, name, NF4Linear(layer.weight, layer.bias, double=double))
        names.append(name)
    return names


def quantising_assign(
    model: nn.Module, *, dtype: torch.dtype = torch.float32, double: bool = True
) -> Callable[[str, Tensor], None]:
    """An ``assign`` for ``weight_map.load_into`` that packs each matrix as it arrives.

    ``model`` was built without storage (``with torch.device("meta")``), so that at no time more than one
    matrix is held in full: the linear weights of ``model.blocks`` become NF4, every other tensor
    becomes a parameter in ``dtype``. Tied parameters stay tied.
    """
    packed = {f"{name}.weight": name for name, _ in packable_linears(model)}
    holders: dict[nn.Parameter, list[str]] = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        holders[parameter].append(name)
    names_of = {name: shared for shared in holders.values() for name in shared}

    def assign(name: str, tensor: Tensor) -> None:
        if name in packed:
            layer = model.get_submodule(packed[name])
            assert isinstance(layer, nn.Linear)
            _place(model, packed[name], NF4Linear(tensor, layer.bias, double=double))
            return
        parameter = nn.Parameter(tensor.to(dtype))
        for shared in names_of[name]:
            _place(model, shared, parameter)

    return assign


def _place(model: nn.Module, name: str, value: nn.Module | nn.Parameter) -> None:
    owner, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(owner), attribute, value)
