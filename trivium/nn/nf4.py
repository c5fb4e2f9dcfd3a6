"""NF4, the 4-bit NormalFloat of QLoRA (Dettmers et al. 2023, section 3): the numbers and how they are packed.

A weight is cut into blocks of 64 in storage order; each keeps its largest magnitude and, for every
value, the index of the nearest of 16 codes. *Double quantisation* packs those magnitudes too, in
8 bits, blocks of 256 (4.5 bits a weight become 4.13). The packed bytes equal those of bitsandbytes; of the
8-bit codes about one in a thousand differs, where its CPU look-up misses the nearest code and ours does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Self, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)

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


def keep_wide(layer: Layer, apply: Callable[[], Layer]) -> Layer:
    """``apply`` moves a packed ``layer`` or changes its dtype: of the packed tensors only the device follows.

    A model sent to bf16 keeps its magnitudes in fp32.
    """
    kept = {name: buffer for name, buffer in layer._buffers.items() if buffer is not None}
    apply()
    for name, buffer in kept.items():
        moved = layer._buffers[name]
        assert moved is not None
        if moved.dtype != buffer.dtype:
            layer._buffers[name] = buffer.to(moved.device)
    return layer
