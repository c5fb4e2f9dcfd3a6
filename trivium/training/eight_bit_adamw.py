"""AdamW whose moments take one byte a number (Dettmers et al. 2022, "8-bit optimizers via block-wise quantization").

Both moments are kept in blocks of 256 numbers, each block as its largest magnitude in fp32 and 8-bit codes of what is
left (section 2.1), the mean gradient in the signed dynamic code and the mean square in the unsigned one (section 2.2):
2.03 bytes a parameter where AdamW keeps 8. An update unpacks a piece of a parameter's moments, computes in fp32,
applies it, and only then packs them again. Small tensors keep fp32, and so may a group (`precise`), as the paper's
embeddings do (section 2.3).

Our deviation: a mean square above zero is never stored as zero. Its code would be, for what is below 2e-7 of the
block's largest, while the mean gradient of such a number is still told from zero; the quotient would explode.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from trivium.nn.nf4 import dynamic_codes, nearest_codes
from trivium.training.one_by_one import OneByOne

BLOCK = 256
"""Numbers that share one magnitude."""
LEAST_ELEMENTS = 4096
"""Smaller tensors keep their moments in fp32: they cost nothing, and their blocks are hardly blocks."""
_BLOCKS_AT_ONCE = 4096  # about 4 MB for each of the moments in fp32


class EightBitAdamW(OneByOne):
    """AdamW (Loshchilov and Hutter 2019, algorithm 2), as `torch.optim.AdamW` computes it, with packed moments."""

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """A group may say `precise`: its moments stay in fp32. Raises `Unsupported` for sharded parameters, whose
        blocks would depend on the number of processes."""
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "precise": False}
        super().__init__(parameters, defaults, of_shares="8-bit moments of sharded parameters")

    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state.update(_empty(parameter, precise=group["precise"] or not _worth_packing(parameter)))
        state["step"] += 1
        apply = functools.partial(_adamw, group=group, step=int(state["step"]))
        if "mean" in state:
            apply(parameter, gradient, state["mean"], state["square"])
            return
        values, gradients = parameter.view(-1), gradient.reshape(-1)
        signed, unsigned = signed_code(parameter.device), unsigned_code(parameter.device)
        for first in range(0, len(state["mean_scales"]), _BLOCKS_AT_ONCE):
            blocks = slice(first, first + _BLOCKS_AT_ONCE)
            numbers = slice(first * BLOCK, (first + _BLOCKS_AT_ONCE) * BLOCK)
            count = len(values[numbers])
            mean = unpacked(state["mean_codes"][blocks], state["mean_scales"][blocks], signed)[:count]
            square = unpacked(state["square_codes"][blocks], state["square_scales"][blocks], unsigned)[:count]
            apply(values[numbers], gradients[numbers], mean, square)
            state["mean_codes"][blocks], state["mean_scales"][blocks] = packed(mean, signed)
            codes, state["square_scales"][blocks] = packed(square, unsigned)
            state["square_codes"][blocks] = torch.where(_in_blocks(square) > 0, codes.clamp(min=1), codes)


def _adamw(values: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, *, group: dict[str, Any], step: int) -> None:
    """One update of ``values`` and of both moments, in place."""
    beta1, beta2 = group["betas"]
    gradient = gradient.float()
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    values.mul_(1 - group["lr"] * group["weight_decay"])
    denominator = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
    values.sub_((mean / denominator).mul_(group["lr"] / (1 - beta1**step)).to(values.dtype))


@dataclass(frozen=True, eq=False)
class Code:
    """What the 256 values of a byte stand for, and how the nearest of them is found.

    `nearest_codes` searches; this is several times as fast and gives the same. By the upper 16 bits of a float it is
    known between which middles of two values it lies, up to one comparison: floats that share them differ by less than
    1/128 of themselves, and neighbouring middles by more.
    """

    values: Float[Tensor, "256"]
    """In order."""
    middles: Float[Tensor, "256"]
    """Between each value and the next; infinite after the last."""
    first: UInt8[Tensor, "65536"]
    """By the upper 16 bits, the nearest code of the least number that has them."""

    @classmethod
    def of(cls, values: list[float], device: torch.device) -> "Code":
        """The code of these 256 values."""
        assert len(values) == 256
        table = torch.tensor(sorted(values))
        middles = torch.cat([(table[1:] + table[:-1]) / 2, torch.tensor([torch.inf])])
        upper = torch.arange(65536, dtype=torch.int32) << 16
        least = torch.where(upper < 0, upper | 0xFFFF, upper).view(torch.float32).nan_to_num()
        return cls(table.to(device), middles.to(device), nearest_codes(least, table).to(device))

    def nearest(self, values: Float[Tensor, "N"]) -> UInt8[Tensor, "N"]:
        """The code nearest to each of ``values``; exactly between two, the lower one."""
        lower = self.first.index_select(0, (values.view(torch.int32) >> 16) & 0xFFFF)
        return lower + (values > self.middles.index_select(0, lower.int()))


def packed(values: Float[Tensor, "N"], code: Code) -> tuple[UInt8[Tensor, "M 256"], Float[Tensor, "M"]]:
    """The nearest codes of ``values``, in blocks filled up with zeros, and the largest magnitude of each block."""
    blocks = _in_blocks(values)
    scales = blocks.abs().amax(1)
    scaled = blocks / torch.where(scales > 0, scales, 1)[:, None]
    return code.nearest(scaled.view(-1)).view(-1, BLOCK), scales


def unpacked(blocks: UInt8[Tensor, "M 256"], scales: Float[Tensor, "M"], code: Code) -> Float[Tensor, "N"]:
    """What `packed` stands for, with the zeros that fill up the last block."""
    return (code.values.index_select(0, blocks.view(-1).int()).view(-1, BLOCK) * scales[:, None]).view(-1)


@functools.cache
def signed_code(device: torch.device) -> Code:
    """The signed dynamic code: both signs of 1, 2, 4, ... 64 fractions around each power of ten from 1e-6 to 1."""
    return Code.of(list(dynamic_codes()), device)


@functools.cache
def unsigned_code(device: torch.device) -> Code:
    """The unsigned one: the bit of the sign makes 2, 4, 8, ... 128 fractions of it (section 2.2)."""
    values = [0.0, 1.0]
    for exponent in range(7):
        edges = torch.linspace(0.1, 1, 2 ** (exponent + 1) + 1)
        values += (10.0 ** (exponent - 6) * (edges[:-1] + edges[1:]) / 2).tolist()
    return Code.of(values, device)


def _worth_packing(parameter: Tensor) -> bool:
    """Whether it is large; one whose numbers do not lie in a row cannot be cut in blocks where it lies."""
    return parameter.numel() >= LEAST_ELEMENTS and parameter.is_contiguous()


def _empty(parameter: Tensor, *, precise: bool) -> dict[str, Tensor]:
    """The state before the first update."""
    state = {"step": torch.zeros(())}
    if precise:
        empty = torch.zeros_like(parameter, dtype=torch.float32)
        return state | {"mean": empty, "square": empty.clone()}
    blocks = -(-parameter.numel() // BLOCK)
    for name, code in (("mean", signed_code), ("square", unsigned_code)):
        zero = int((code(parameter.device).values == 0).nonzero())
        codes = torch.full((blocks, BLOCK), zero, dtype=torch.uint8, device=parameter.device)
        state |= {f"{name}_codes": codes, f"{name}_scales": torch.zeros(blocks, device=parameter.device)}
    return state


def _in_blocks(values: Tensor) -> Tensor:
    return F.pad(values, (0, -values.numel() % BLOCK)).view(-1, BLOCK)
