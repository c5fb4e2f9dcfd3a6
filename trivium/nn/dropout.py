"""Dropout for recurrent networks: of whole channels of a text, of whole words, of weights (Merity et al. 2018).

What plain dropout does to a recurrence is noise that changes with every token. These three are drawn once for a
forward pass, and hold for all of its tokens.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call


class LockedDropout(nn.Module):
    """Variational dropout (Gal and Ghahramani 2016; Merity et al. 2018, section 4.2): one mask a row, for all time."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        if not (self.training and self.rate):
            return x
        return x * F.dropout(torch.ones_like(x[:, :1]), self.rate)


class WordDropout(nn.Module):
    """Embedding dropout (Gal and Ghahramani 2016; Merity et al. 2018, section 4.3): a word that is dropped is dropped
    wherever it stands in the batch."""

    def __init__(self, vocabulary_size: int, rate: float) -> None:
        super().__init__()
        self.vocabulary_size, self.rate = vocabulary_size, rate

    def forward(self, vectors: Float[Tensor, "B T D"], tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """``vectors`` are those of ``tokens``."""
        if not (self.training and self.rate):
            return vectors
        kept = F.dropout(vectors.new_ones(self.vocabulary_size), self.rate)
        return vectors * kept[tokens][..., None]


def with_dropped_weights(module: nn.Module, prefix: str, rate: float, *arguments: Any) -> Any:
    """``module(*arguments)`` without a share ``rate`` of the weights whose names begin with ``prefix``.

    DropConnect (Wan et al. 2013) on recurrent weights, Merity et al. 2018, section 2: one mask for all time steps, so
    the fused kernel can be used. The module is called as a function of other weights and never changed: the gradient
    reaches the whole weight, and nothing is left over for evaluation to trip on.
    """
    named = module.named_parameters()
    dropped = {name: F.dropout(weight, rate) for name, weight in named if name.startswith(prefix)}
    return functional_call(module, dropped, arguments)
