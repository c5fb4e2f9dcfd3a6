"""What is done to the logits before a token is drawn, in this order: temperature, top-k, top-p.

The order matters (Holtzman et al. 2020 cut the tempered distribution) and is that of ``transformers``.
Every processor takes ``[B, V]`` logits and gives new ones; a token it forbids gets -inf.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from trivium.generation.settings import GenerationSettings

_NEGATIVE_INFINITY = float("-inf")
_FIRST_LOOK = 256  # a nucleus is nearly always among so many tokens; sorting 32,000 takes 50 times as long


def process(logits: Float[Tensor, "B V"], settings: GenerationSettings) -> Float[Tensor, "B V"]:
    """The distribution that is sampled from; ``settings`` must not be greedy."""
    assert not settings.greedy
    logits = with_temperature(logits, settings.temperature)
    if settings.top_k is not None:
        logits = keep_top_k(logits, settings.top_k)
    if settings.top_p is not None:
        logits = keep_top_p(logits, settings.top_p)
    return logits


def with_temperature(logits: Float[Tensor, "B V"], temperature: float) -> Float[Tensor, "B V"]:
    """softmax(logits / temperature): below 1 sharper, above 1 flatter.

    The largest logit is taken off first, so that a tiny temperature cannot overflow.
    """
    return (logits - logits.amax(-1, keepdim=True)) / temperature


def keep_top_k(logits: Float[Tensor, "B V"], k: int) -> Float[Tensor, "B V"]:
    """The ``k`` largest logits (Fan et al. 2018, section 5.4); of equal ones the lower id first, so k = 1 is greedy."""
    if k >= logits.shape[-1]:
        return logits
    least = logits.topk(k, dim=-1).values[:, -1:]
    return _keep_largest(logits, least, k)


def keep_top_p(logits: Float[Tensor, "B V"], p: float) -> Float[Tensor, "B V"]:
    """The nucleus (Holtzman et al. 2020, eq. 2): the fewest most probable tokens whose mass reaches ``p``.

    The most probable token always stays; of equally probable ones the lower id goes first.
    """
    if p >= 1:
        return logits
    total = torch.logsumexp(logits, dim=-1, keepdim=True)
    looked_at = min(_FIRST_LOOK, logits.shape[-1])
    ordered = logits.topk(looked_at, dim=-1).values
    if bool(((ordered - total).exp().sum(-1) < p).any()):
        ordered = logits.sort(dim=-1, descending=True).values
    mass_before = (ordered - total).exp().cumsum(-1).roll(1, dims=-1)
    mass_before[:, 0] = 0
    size = (mass_before < p).sum(-1, keepdim=True)
    least = ordered.gather(-1, size - 1)
    return _keep_largest(logits, least, size)


def _keep_largest(logits: Tensor, least: Tensor, count: Tensor | int) -> Tensor:
    """The ``count`` largest logits of each row, given the smallest of them; ties go to the lower ids."""
    above, tied = logits > least, logits == least
    places = count - above.sum(-1, keepdim=True)
    return torch.where(above | (tied & (tied.cumsum(-1) <= places)), logits, _NEGATIVE_INFINITY)
