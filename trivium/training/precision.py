"""The number format that a training step computes in; parameters and their updates stay in their own.

bfloat16 keeps float32's range, so losses need no scaling (Kalamkar et al. 2019). It is used only where the hardware
multiplies it, and refused with the reason elsewhere.
"""

import contextlib
from typing import Literal

import torch

from trivium.runtime.device import choose_dtype

Precision = Literal["auto", "float32", "bfloat16"]


def autocast(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager:
    """A context for forward passes on `device`; with "float32" products keep the dtype of the parameters.

    Raises `UserError` where the device has no instructions for the format asked. May be entered again and again.
    """
    if choose_dtype(precision, device) is torch.bfloat16:
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
