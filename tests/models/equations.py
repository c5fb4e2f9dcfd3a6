"""The gated units in plain tensor operations, for one token of one text; gates in the order of torch's weights."""

import torch
from torch import Tensor, nn


def lstm(module: nn.Module, x: Tensor, h: Tensor, c: Tensor, side: str = "") -> tuple[Tensor, Tensor]:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    w, u, b, d = weights_of(module, side)
    i, f, g, o = (w @ x + b + u @ h + d).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru(module: nn.Module, x: Tensor, h: Tensor, side: str = "") -> Tensor:
    """Cho et al. 2014, the reset gate after the product."""
    w, u, b, d = weights_of(module, side)
    (r1, z1, n1), (r2, z2, n2) = (w @ x + b).chunk(3), (u @ h + d).chunk(3)
    z = torch.sigmoid(z1 + z2)
    return (1 - z) * torch.tanh(n1 + torch.sigmoid(r1 + r2) * n2) + z * h


def weights_of(module: nn.Module, side: str) -> list[Tensor]:
    """W, U and their biases, of a cell or of a layer's kernel."""
    end = f"_l0{side}" if isinstance(module, nn.RNNBase) else side
    return [getattr(module, f"{name}{end}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def read_lstm(module: nn.Module, xs: Tensor, side: str = "") -> tuple[Tensor, Tensor, Tensor]:
    """``[T, W]`` from nothing: the output at every token, and the last state."""
    h = c = xs.new_zeros(weights_of(module, side)[1].shape[1])
    outputs = []
    for x in xs:
        h, c = lstm(module, x, h, c, side)
        outputs.append(h)
    return torch.stack(outputs), h, c


def read_gru(module: nn.Module, xs: Tensor, side: str = "") -> Tensor:
    """``[T, W]`` from nothing: the output at every token."""
    h = xs.new_zeros(weights_of(module, side)[1].shape[1])
    outputs = []
    for x in xs:
        h = gru(module, x, h, side)
        outputs.append(h)
    return torch.stack(outputs)
