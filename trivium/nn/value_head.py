"""From hidden states to one number each: a critic's value (PPO), a reward model's score."""

from jaxtyping import Float
from torch import Tensor, nn


class ValueHead(nn.Module):
    """w^T h + b, zero before training, so that a critic starts by promising nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        """One value for each position, in the head's own number format: a base in 16 bits has a critic in 32."""
        return self.output(hidden.to(self.output.weight.dtype))[..., 0]
