"""Convolution over windows of a text (Kim 2014, eq. 2)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class WindowConvolution(nn.Module):
    """relu(W x_{t : t + h} + b) for every window of ``window`` tokens that lies inside its row.

    A row shorter than the window has one window, filled up with zeros. Everywhere else the output is
    zero, which the maximum over time of a rectified feature does not see: batching changes nothing.
    """

    def __init__(self, width: int, filters: int, window: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, filters, window)
        self.window = window

    def forward(self, x: Float[Tensor, "B T D"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B T C"]:
        """Features of the window that starts at each position; ``x`` is zero beyond each row's length."""
        features = self.convolution(F.pad(x.transpose(1, 2), (0, self.window - 1))).relu().transpose(1, 2)
        starts = torch.arange(x.shape[1], device=x.device)
        inside = starts[None] <= (lengths - self.window).clamp(min=0)[:, None]
        return features * inside[:, :, None]
