"""Choosing one token a row: the most probable, or a draw by the inverse of the cumulative distribution.

The draw is one uniform number a row, a running sum and a binary search: ten times faster over a large
vocabulary than ``torch.multinomial``, and each row can have a source of chance of its own.
"""

import random
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trivium.generation.processors import History, process
from trivium.generation.settings import GenerationSettings


def choose(
    logits: Float[Tensor, "B V"],
    settings: GenerationSettings,
    chances: Sequence[random.Random],
    histories: Sequence[History] = (),
) -> tuple[Int[Tensor, "B"], Float[Tensor, "B"]]:
    """The next token of each row, and its natural log-probability in the unprocessed distribution.

    ``histories`` as in ``process``, which may raise. The log-probability is NaN where the logits are not finite
    enough to choose from.
    """
    if settings.greedy:
        ids = process(logits, settings, histories).argmax(-1)
    else:
        distribution = probabilities(logits, settings, histories)  # which may raise: no chance is taken then
        uniforms = torch.tensor([chance.random() for chance in chances], dtype=torch.float64, device=logits.device)
        ids = pick(distribution, uniforms)
    # log_softmax is one fused pass; logsumexp is four.
    return ids, torch.log_softmax(logits, dim=-1).gather(-1, ids[:, None])[:, 0]


def probabilities(
    logits: Float[Tensor, "B V"], settings: GenerationSettings, histories: Sequence[History] = ()
) -> Float[Tensor, "B V"]:
    """The distribution that ``choose`` draws from, in fp64: all processors applied; all on one token where greedy.

    A row of NaN where the logits are not finite enough to choose from.
    """
    processed = process(logits, settings, histories)
    if settings.greedy:
        chosen = torch.zeros(processed.shape, dtype=torch.float64, device=processed.device)
        chosen.scatter_(-1, processed.argmax(-1, keepdim=True), 1)
    else:
        chosen = torch.softmax(processed, dim=-1, dtype=torch.float64)
    # A cut-off may have taken the NaN away.
    return chosen.masked_fill_(~logits.amax(-1, keepdim=True).isfinite(), float("nan"))


def draw(logits: Float[Tensor, "B V"], uniforms: Float[Tensor, "B"]) -> Int[Tensor, "B"]:
    """A token of each row from softmax(logits); see ``pick``."""
    return pick(torch.softmax(logits, dim=-1, dtype=torch.float64), uniforms)


def pick(probabilities: Float[Tensor, "B V"], uniforms: Float[Tensor, "B"]) -> Int[Tensor, "B"]:
    """The first token of each row whose cumulative probability exceeds the row's number of ``uniforms`` in [0, 1).

    Rows need not sum to 1, only to more than 0. In fp64, so that rounding in a sum over a large vocabulary can neither
    move a boundary visibly nor reach a token of probability 0: such a token adds nothing to the sum, and "first that
    exceeds" passes it by.
    """
    cumulative = probabilities.double().cumsum(-1)
    # The last sum is 1 up to rounding. Scaling by it keeps the target below it: u <= 1 - 2^-53.
    target = uniforms[:, None] * cumulative[:, -1:]
    # Only a row of NaN points past the end.
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=probabilities.shape[-1] - 1)


def source_of_chance(seed: int, sample: int, prompt: Sequence[int] = ()) -> random.Random:
    """The uniform numbers of an answer to ``prompt`` with ``seed``: the same on every device and in every batch.

    Where the prompt is given, other prompts have other numbers: with the same ones for all prompts of a call, the share
    of right answers was anything from 5 to 29 % by the seed, where it is 19. Python's generator takes the whole seed
    (torch's on a CPU reads 32 bits of it) and gives 53-bit numbers.
    """
    return random.Random(f"{seed} {sample} {' '.join(map(str, prompt))}")
