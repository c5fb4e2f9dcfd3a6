"""Choosing one token a row: the most probable, or a draw by the inverse of the cumulative distribution.

The draw is one uniform number a row, a running sum and a binary search: ten times faster over a large
vocabulary than ``torch.multinomial``, and each row can have a source of chance of its own.
"""

import random
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trivium.generation.processors import process
from trivium.generation.settings import GenerationSettings


def choose(
    logits: Float[Tensor, "B V"], settings: GenerationSettings, chances: Sequence[random.Random]
) -> tuple[Int[Tensor, "B"], Float[Tensor, "B"]]:
    """The next token of each row, and its natural log-probability in the unprocessed distribution.

    The log-probability is NaN where the logits are not finite enough to choose from.
    """
    if settings.greedy:
        ids = logits.argmax(-1)
    else:
        uniforms = torch.tensor([chance.random() for chance in chances], dtype=torch.float64, device=logits.device)
        ids = draw(process(logits, settings), uniforms)
    # log_softmax is one fused pass; logsumexp is four.
    return ids, torch.log_softmax(logits, dim=-1).gather(-1, ids[:, None])[:, 0]


def draw(logits: Float[Tensor, "B V"], uniforms: Float[Tensor, "B"]) -> Int[Tensor, "B"]:
    """A token of each row from softmax(logits): the first whose cumulative probability exceeds ``uniforms`` in [0, 1).

    In fp64, so that rounding in a sum over a large vocabulary can neither move a boundary visibly nor
    reach a token of probability 0: such a token adds nothing to the sum, and "first that exceeds" passes it by.
    """
    cumulative = torch.softmax(logits, dim=-1, dtype=torch.float64).cumsum(-1)
    # The last sum is 1 up to rounding. Scaling by it keeps the target below it: u <= 1 - 2^-53.
    target = uniforms[:, None] * cumulative[:, -1:]
    # Only a row of NaN points past the end.
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


def source_of_chance(seed: int, sample: int) -> random.Random:
    """The uniform numbers of answer ``sample`` to a request with ``seed``: the same on every device and in every batch.

    Python's generator takes the whole seed (torch's on a CPU reads 32 bits of it) and gives 53-bit numbers.
    """
    return random.Random(seed << 32 | sample)
