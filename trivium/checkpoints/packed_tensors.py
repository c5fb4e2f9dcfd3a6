"""Published weights that exist in packed form only: unpacked as they are read, one tensor at a time.

``mxfp4`` (gpt-oss): blocks of 32 numbers of 4 bits, E2M1, that share a power of two, E8M0 (Open Compute Project 2023,
"OCP Microscaling Formats (MX) Specification", sections 5.2 and 6.3). ``fp8`` (DeepSeek-V3): numbers of 8 bits, E4M3,
that share a float32 factor in each square of 128 x 128 (DeepSeek-AI 2024, section 3.3.2).

A packed tensor is two in the file; here it is one again, under the name that it has in an unpacked folder.
"""

import json
import pathlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from trivium.errors import CheckpointError, Unsupported

_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The numbers of 4 bits without a sign; the highest bit is the sign."""
_NO_NUMBER = 255  # of an exponent E8M0


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How the packed tensors of one folder are stored."""

    values: str
    """What the name of the packed numbers has after that of the tensor."""
    scales: str
    """What the name of their factors has after it."""
    unpack: Callable[[Tensor, Tensor, torch.dtype | None], Tensor]
    """(numbers, factors, dtype or None for one that holds each number exactly) -> the tensor."""

    def parts(self, stored: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Name of each tensor -> those of what it is stored as: itself, or numbers and factors."""
        scales = {name.removesuffix(self.scales): name for name in stored if name.endswith(self.scales)}
        packed = {plain: (plain + self.values, name) for plain, name in scales.items() if plain + self.values in stored}
        used = {name for pair in packed.values() for name in pair}
        return {name: (name,) for name in stored if name not in used} | packed


def packing_of(folder: pathlib.Path) -> Packing | None:
    """What ``quantization_config`` of a folder's config.json says; None where nothing is packed.

    Raises ``Unsupported`` for a format that is not read.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None  # whoever needs the file says what is wrong with it
    stated = config.get("quantization_config") if isinstance(config, dict) else None
    if not isinstance(stated, dict):
        return None
    method = stated.get("quant_method")
    if method == "mxfp4":
        return Packing(values="_blocks", scales="_scales", unpack=unpack_mxfp4)
    if method == "fp8" and stated.get("fmt", "e4m3") == "e4m3":
        return Packing(values="", scales="_scale_inv", unpack=partial(unpack_fp8, block=_block(stated)))
    raise Unsupported(
        "the weights of this folder are packed in a format that is not read",
        received=f"quantization_config with quant_method {method}"
        + (f", fmt {stated['fmt']}" if method == "fp8" else ""),
        expected="mxfp4, fp8 with fmt e4m3, or weights that are not packed",
        fix="take the folder that was published unpacked, or unpack this one in transformers, with dequantize()",
    )


def _block(stated: Mapping[str, Any]) -> tuple[int, int] | None:
    size = stated.get("weight_block_size")
    if size is None:
        return None
    if isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size):
        return size[0], size[1]
    raise CheckpointError("weight_block_size of config.json is no pair of sizes", received=size, expected="[128, 128]")


def unpack_mxfp4(blocks: Tensor, scales: Tensor, dtype: torch.dtype | None = None) -> Float[Tensor, "*_ D F"]:
    """Rows of blocks ``[..., out, G, P]``, of 2 P numbers each, the first of two in the low half of a byte, and their
    exponents ``[..., out, G]``; the result is ``[..., in, out]``, as ``transformers`` has the matrices of experts. In
    bfloat16 (``dtype`` None) every number is exact.

    Raises ``CheckpointError`` where blocks and scales do not belong together.
    """
    _require(blocks.ndim > 2 and blocks.shape[:-1] == scales.shape, blocks, scales, (torch.uint8,), (torch.uint8,))
    device = blocks.device
    magnitudes = torch.tensor(_E2M1, device=device)
    numbers = torch.cat([magnitudes, -magnitudes])
    pairs = torch.stack([numbers.repeat(16), numbers.repeat_interleave(16)], -1)  # of a whole byte, low half first
    factors = torch.exp2(torch.arange(256, dtype=torch.float64, device=device) - 127).float()
    factors[_NO_NUMBER] = torch.nan
    *before, rows, groups, width = blocks.shape
    out = torch.empty(*before, groups * width * 2, rows, dtype=dtype or torch.bfloat16, device=device)
    # A matrix at a time: while it is unpacked it takes many times its room.
    for whole, packed, shared in zip(
        out.view(-1, groups * width * 2, rows),
        blocks.reshape(-1, rows, groups, width),
        scales.reshape(-1, rows, groups),
        strict=True,
    ):
        found = pairs[packed.int()] * factors[shared.int()][..., None, None]
        whole.copy_(found.view(rows, -1).t())
    return out


def unpack_fp8(
    values: Tensor, scales: Tensor, dtype: torch.dtype | None = None, *, block: tuple[int, int] | None
) -> Float[Tensor, "F D"]:
    """Each number times the factor of its block, the last of which may be cut off by the edge; ``block`` None for one
    factor of them all. The product is taken in float32, which is the result's (``dtype`` None).

    Raises ``CheckpointError`` where numbers and factors do not belong together.
    """
    rows, columns = values.shape if values.ndim == 2 else (0, 0)
    high, wide = block or (rows, columns)
    grid = (-(-rows // high), -(-columns // wide))
    fits = values.ndim == 2 and (tuple(scales.shape) == grid or (block is None and scales.numel() == 1))
    _require(fits, values, scales, (torch.float8_e4m3fn,), (torch.float32, torch.bfloat16, torch.float8_e8m0fnu))
    padded = F.pad(values.float(), (0, -columns % wide, 0, -rows % high)).view(grid[0], high, grid[1], wide)
    whole = (padded * scales.float().view(grid[0], 1, grid[1], 1)).view(grid[0] * high, grid[1] * wide)
    return whole[:rows, :columns].to(dtype or torch.float32)


def _require(
    fits: bool, values: Tensor, scales: Tensor, of_values: Collection[torch.dtype], of_scales: Collection[torch.dtype]
) -> None:
    if fits and values.dtype in of_values and scales.dtype in of_scales:
        return
    raise CheckpointError(
        "packed numbers and their factors do not belong together",
        received=f"{list(values.shape)} of {values.dtype}, {list(scales.shape)} of {scales.dtype}",
        fix="compare quantization_config in config.json with the published one, or copy the folder again",
    )
