"""Feed-forward layers: the plain two-matrix one and the gated one."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.linear import Linear

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "tanh"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),  # Hendrycks and Gimpel 2016, the tanh approximation
    "silu": F.silu,
    "tanh": torch.tanh,
}


class FeedForward(nn.Module):
    """W_2 act(W_1 x) (Vaswani et al. 2017, eq. 2), with ``dropout`` before W_2 where it is given (BART, T5)."""

    def __init__(
        self, width: int, inner_width: int, activation: Activation, *, bias: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.up = Linear(width, inner_width, bias=bias)
        self.down = Linear(inner_width, width, bias=bias)
        self.activation, self.dropout = activation, dropout

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        inner = ACTIVATIONS[self.activation](self.up(x))
        return self.down(F.dropout(inner, self.dropout, self.training) if self.dropout else inner)


class GatedFeedForward(nn.Module):
    """W_down (act(W_gate x) * W_up x) (Shazeer 2020, "GLU Variants Improve Transformer", eq. 6).

    Gate and up are one matrix: a single larger product is faster than two, most of all for one token. ``dropout``
    stands before W_down where it is given (T5).
    """

    def __init__(
        self, width: int, inner_width: int, activation: Activation, *, bias: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.gate_up = Linear(width, 2 * inner_width, bias=bias)
        self.down = Linear(inner_width, width, bias=bias)
        self.activation: Activation = activation
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        inner = gated(self.gate_up(x), self.activation)
        return self.down(F.dropout(inner, self.dropout, self.training) if self.dropout else inner)


def gated(gate_up: Float[Tensor, "... G"], activation: Activation) -> Float[Tensor, "... F"]:
    """act(gate) * up; gate is the first half of ``gate_up``."""
    if activation == "silu" and torch.is_grad_enabled():
        return _SwiGLU.apply(gate_up)
    gate, up = gate_up.chunk(2, dim=-1)
    return ACTIVATIONS[activation](gate) * up


class _SwiGLU(torch.autograd.Function):
    """silu(gate) * up with its gradient written in place: autograd would keep silu(gate) and join two halves anew."""

    @staticmethod
    def forward(ctx, gate_up):
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx, upstream):
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        d_gate_up = torch.empty_like(gate_up)
        d_gate, d_up = d_gate_up.chunk(2, dim=-1)
        torch.mul(upstream, F.silu(gate), out=d_up)
        torch.ops.aten.silu_backward.grad_input(upstream * up, gate, grad_input=d_gate)
        return d_gate_up
