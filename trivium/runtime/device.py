"""Which device does the work, and in which number format.

bfloat16 is used only where the hardware multiplies it: elsewhere it is emulated, five times slower than float32 on a
processor with AVX-512 alone. float16 has no place on a CPU: a matrix product in it is a hundred times slower.
"""

import torch

from trivium.errors import UserError
from trivium.runtime import machine

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
_BFLOAT16_CPU_SETS = ("amx_bf16", "avx512_bf16", "bf16")
_BFLOAT16_CAPABILITY = (8, 0)


def choose_device(name: str = "auto") -> torch.device:
    """The torch device called `name`: "cpu", "cuda", "cuda:1"; "auto" is CUDA where there is any, else the CPU.

    Raises `UserError` for a device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(
            "there is no such device", received=name, expected="auto, cpu, cuda or cuda:N", fix="use --device auto"
        )
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UserError(
                "that GPU is not here",
                received=name,
                expected=f"one of {count} CUDA devices" if count else "cpu: torch sees no CUDA device",
                fix="use --device auto",
            )
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The torch dtype called `name` to compute in on `device` (parameters being trained stay in float32).

    "auto" is bfloat16 where the hardware multiplies it, else float32. Raises `UserError` with the reason where the
    hardware has no instructions for the format asked.
    """
    if name == "auto":
        return torch.bfloat16 if why_not_bfloat16(device) is None else torch.float32
    if name not in DTYPES:
        raise UserError("there is no such number format", received=name, expected=f"auto, {', '.join(DTYPES)}")
    dtype = DTYPES[name]
    reason = None
    if dtype is torch.bfloat16:
        reason = why_not_bfloat16(device)
    elif dtype is torch.float16 and device.type == "cpu":
        reason = "a CPU emulates float16: a matrix product in it is about 100 times slower than in float32"
    if reason is not None:
        raise UserError(
            f"{name} is refused on this {device.type}: {reason}",
            received=name,
            expected="a format that the hardware multiplies",
            fix="use --dtype float32",
        )
    return dtype


def why_not_bfloat16(device: torch.device) -> str | None:
    """The reason why bfloat16 would be emulated on `device`, or None where the hardware has it."""
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability >= _BFLOAT16_CAPABILITY:
            return None
        return f"compute capability {capability[0]}.{capability[1]} has no bfloat16 (8.0 and above have)"
    if any(name in machine.instruction_sets() for name in _BFLOAT16_CPU_SETS):
        return None
    return (
        f"the processor has none of {', '.join(_BFLOAT16_CPU_SETS)}, so it would emulate it, about 5 times slower than "
        "float32"
    )
