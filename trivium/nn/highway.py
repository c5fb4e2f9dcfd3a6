"""The highway layer (Srivastava, Greff and Schmidhuber 2015)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.linear import Linear


class Highway(nn.Module):
    """t * relu(W x) + (1 - t) * x with the gate t = sigmoid(W_t x + b_t) (eq. 3); the gate starts nearly shut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = Linear(width, width)
        self.gate = Linear(width, width)
        nn.init.constant_(self.gate.bias, -2.0)  # section 2.2: carry first, transform once it is learned

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        gate = torch.sigmoid(self.gate(x))
        return gate * torch.relu(self.transform(x)) + (1 - gate) * x
