"""What a row has read and written so far: penalties and constraints look back at it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class History:
    """The tokens before the one to be chosen."""

    prompt: Sequence[int]
    """What the decoder has read before the answer: the prompt; of an encoder-decoder its start token."""
    new: Sequence[int] = ()
    """The answer so far."""


def places(histories: Sequence[History], vocabulary_size: int, *, prompt: bool) -> Int[Tensor, "N"]:
    """``row * vocabulary_size + token`` for every token of every row, as often as it occurs.

    The prompt counts where ``prompt`` is true. Ids that the vocabulary has not are left out: they cannot be chosen.
    """
    tokens = [[*(history.prompt if prompt else ()), *history.new] for history in histories]
    rows = torch.arange(len(tokens)).repeat_interleave(torch.tensor([len(row) for row in tokens], dtype=torch.long))
    flat = torch.tensor([token for row in tokens for token in row], dtype=torch.long)
    return (rows * vocabulary_size + flat)[flat < vocabulary_size]
