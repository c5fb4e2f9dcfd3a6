"""From the hidden states of a text to the classes it may belong to."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.feedforward import ACTIVATIONS, Activation
from trivium.nn.linear import Linear

Pooling = Literal["first", "last", "mean", "max"]


class HiddenLayer(nn.Module):
    """act(W dropout(x) + b): BERT's pooler, and the first layer of the classifiers of RoBERTa, ELECTRA, BART and T5."""

    def __init__(self, width: int, activation: Activation = "tanh", *, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = Linear(width, width)
        self.activation = activation

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return ACTIVATIONS[self.activation](self.linear(self.dropout(x)))


class ClassificationHead(nn.Module):
    """One vector for a row (its first or last position, or the mean or maximum over them), then a linear layer.

    ``transform`` stands between the two: a `HiddenLayer`, a highway layer.
    """

    def __init__(
        self,
        width: int,
        classes: int,
        *,
        pooling: Pooling,
        transform: nn.Module | None = None,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        self.transform = nn.Identity() if transform is None else transform
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, classes, bias=bias)

    def forward(self, hidden: Float[Tensor, "B T D"], lengths: Int[Tensor, "B"] | None = None) -> Float[Tensor, "B N"]:
        """Unnormalised log-probabilities of the classes; without ``lengths`` every position counts."""
        return self.output(self.dropout(self.transform(pool(hidden, lengths, self.pooling))))


def pool(hidden: Float[Tensor, "B T D"], lengths: Int[Tensor, "B"] | None, pooling: Pooling) -> Float[Tensor, "B D"]:
    """One vector for each row from its valid positions."""
    rows, length, _ = hidden.shape
    if lengths is None:
        lengths = torch.full((rows,), length, device=hidden.device)
    if pooling == "first":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[torch.arange(rows, device=hidden.device), lengths - 1]
    valid = (torch.arange(length, device=hidden.device) < lengths[:, None])[:, :, None]
    if pooling == "mean":
        return torch.where(valid, hidden, 0.0).sum(1) / lengths[:, None]
    return hidden.masked_fill(~valid, float("-inf")).amax(1)
