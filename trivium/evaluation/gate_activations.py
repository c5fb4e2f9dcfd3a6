"""What the gates of a recurrent network do over a text: open, closed, or in between.

A gate below 0.1 lets next to nothing through, one above 0.9 nearly all: it is closed or open, and there its own
gradient is small ("saturated" in Karpathy, Johnson and Li 2015, "Visualizing and Understanding Recurrent Networks",
section 4.2). A unit whose forget gate is nearly always open remembers for long.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from trivium.nn.gates import gates

CLOSED, OPEN = 0.1, 0.9
"""Below and above which a gate counts as saturated."""


@dataclass(frozen=True, kw_only=True)
class GateActivations:
    """One gate of one layer."""

    layer: int
    """Counted from 1, the lowest."""
    gate: str
    """input, forget, output, reset or update."""
    values: np.ndarray
    """What it was at each place of each text in each unit, float32 [texts, tokens, units]."""

    def mean(self) -> np.ndarray:
        """Over the units, [texts, tokens]."""
        return self.values.mean(-1)

    def closed(self, axis: int | tuple[int, ...]) -> np.ndarray:
        """Share of activations below `CLOSED`, over ``axis``."""
        return (self.values < CLOSED).mean(axis)

    def open(self, axis: int | tuple[int, ...]) -> np.ndarray:
        """Share of activations above `OPEN`, over ``axis``."""
        return (self.values > OPEN).mean(axis)


@torch.no_grad()
def gate_activations(model: nn.Module, tokens: Int[Tensor, "B T"]) -> list[GateActivations]:
    """Every gate of every layer of a recurrent language model while it reads each row from its beginning: from the
    lowest layer up. Empty for an Elman network, which has none."""
    device = next(model.parameters()).device
    blocks: Any = model.blocks
    hidden = model.eval()(tokens.to(device), collect=("hidden",)).collected["hidden"]
    return [
        GateActivations(layer=number, gate=gate, values=values.float().cpu().numpy())
        for number, (block, x, out) in enumerate(zip(blocks, hidden[:-1], hidden[1:], strict=True), start=1)
        for gate, values in gates(block, x, out).items()
    ]
