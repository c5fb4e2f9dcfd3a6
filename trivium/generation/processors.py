"""What is done to the logits before a token is chosen, in the order that ``settings.order`` gives.

The order matters: the same cut-offs before and after the temperature keep different tokens. The one that stands in
``PROCESSORS`` is that of ``transformers``: constraints and penalties, temperature, top-k, top-p, min-p, typical.
(There constraints come after penalties. A ban stays one under every penalty, so nothing hangs on it.)

Every processor takes ``[B, V]`` logits and gives new ones, or the same tensor where it has nothing to do; none writes
into what it was given. A token that is forbidden gets -inf.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trivium.generation import constraints
from trivium.generation.history import History, places
from trivium.generation.settings import GenerationSettings

__all__ = [
    "History",
    "keep_min_p",
    "keep_top_k",
    "keep_top_p",
    "keep_typical",
    "process",
    "with_frequency_penalty",
    "with_presence_penalty",
    "with_repetition_penalty",
    "with_temperature",
]

_NEGATIVE_INFINITY = float("-inf")
_LOOKS = (256, 4096)  # a nucleus is nearly always among so many tokens; sorting 32,000 takes 50 times as long as 256


def process(
    logits: Float[Tensor, "B V"],
    settings: GenerationSettings,
    histories: Sequence[History] = (),
    *,
    dead_ends: bool = False,
) -> Float[Tensor, "B V"]:
    """The logits that a token is chosen by: those of the most probable one, or of the distribution to draw from.

    ``histories`` holds one a row where a penalty or a constraint is set, and may be empty otherwise. With greedy
    settings the temperature and the cut-offs, which are for sampling, are passed over. Raises what
    ``constraints.apply`` raises, of which ``dead_ends`` is an option.
    """
    steps = _GREEDY if settings.greedy else _SAMPLED
    for name in settings.order:
        if name == "constraints":
            logits = constraints.apply(
                logits,
                settings.constraints,
                histories,
                max_new_tokens=settings.max_new_tokens,
                eos_ids=settings.eos_ids,
                dead_ends=dead_ends,
            )
        elif (step := steps.get(name)) is not None:
            logits = step(logits, settings, histories)
    return logits


# Penalties -----------------------------------------------------------------------------------------------------------


def with_repetition_penalty(
    logits: Float[Tensor, "B V"], penalty: float, histories: Sequence[History]
) -> Float[Tensor, "B V"]:
    """Every token of the prompt or the answer loses, once however often it occurs (Keskar et al. 2019, section 4.1).

    A positive logit is divided by ``penalty`` and a negative one multiplied, as everybody does; the paper only divides.
    """
    seen = _places(logits, histories, prompt=True)
    penalised = logits.clone(memory_format=torch.contiguous_format)
    flat = penalised.view(-1)
    before = flat.index_select(0, seen)
    # A token that occurs twice gets the same value twice.
    flat.scatter_(0, seen, torch.where(before < 0, before * penalty, before / penalty))
    return penalised


def with_frequency_penalty(
    logits: Float[Tensor, "B V"], penalty: float, histories: Sequence[History]
) -> Float[Tensor, "B V"]:
    """Each token loses ``penalty`` for every time it stands in the answer (OpenAI's definition: the prompt is free)."""
    seen, counts = _places(logits, histories, prompt=False).unique(return_counts=True)
    penalised = logits.clone(memory_format=torch.contiguous_format)
    penalised.view(-1)[seen] -= penalty * counts.to(logits.dtype)
    return penalised


def with_presence_penalty(
    logits: Float[Tensor, "B V"], penalty: float, histories: Sequence[History]
) -> Float[Tensor, "B V"]:
    """Each token that stands in the answer at all loses ``penalty`` (OpenAI's definition: the prompt is free)."""
    seen = _places(logits, histories, prompt=False).unique()
    penalised = logits.clone(memory_format=torch.contiguous_format)
    penalised.view(-1)[seen] -= penalty
    return penalised


def _places(logits: Tensor, histories: Sequence[History], *, prompt: bool) -> Tensor:
    assert len(histories) == logits.shape[0], "a penalty looks back at every row"
    return places(histories, logits.shape[1], prompt=prompt).to(logits.device)


# Temperature and cut-offs --------------------------------------------------------------------------------------------


def with_temperature(logits: Float[Tensor, "B V"], temperature: float) -> Float[Tensor, "B V"]:
    """softmax(logits / temperature): below 1 sharper, above 1 flatter.

    In 32 bits or more, where logits over the least temperature that is not greedy (1e-6) are far from overflowing.
    """
    return _at_least_fp32(logits) / temperature


def keep_top_k(logits: Float[Tensor, "B V"], k: int) -> Float[Tensor, "B V"]:
    """The ``k`` largest logits (Fan et al. 2018, section 5.4); of equal ones the lower id first, so k = 1 is greedy.

    ``transformers`` keeps all that equal the k-th.
    """
    if k >= logits.shape[-1]:
        return logits
    least = logits.topk(k, dim=-1).values[:, -1:]
    return logits.masked_fill(~_largest(logits, least, k), _NEGATIVE_INFINITY)


def keep_top_p(logits: Float[Tensor, "B V"], p: float) -> Float[Tensor, "B V"]:
    """The nucleus (Holtzman et al. 2020, eq. 2): the fewest most probable tokens whose mass reaches ``p``.

    The most probable token always stays, and alone at 0; of equally probable ones the lower id goes first
    (``transformers`` leaves that to the sort).
    """
    return logits if p >= 1 else _keep_fewest(logits, logits, p)


def keep_min_p(logits: Float[Tensor, "B V"], share: float) -> Float[Tensor, "B V"]:
    """The tokens at least ``share`` times as probable as the most probable one (Nguyen et al. 2024)."""
    if share == 0:
        return logits
    least = logits.amax(-1, keepdim=True) + math.log(share)
    return logits.masked_fill(logits < least, _NEGATIVE_INFINITY)


def keep_typical(logits: Float[Tensor, "B V"], p: float) -> Float[Tensor, "B V"]:
    """The fewest tokens whose surprise is nearest to the entropy and whose mass reaches ``p`` (Meister et al. 2023).

    At least one stays; of equally near ones the lower id goes first (``transformers`` keeps them all).
    """
    if p >= 1:
        return logits
    log_probs = torch.log_softmax(_at_least_fp32(logits), dim=-1)
    entropy = torch.special.entr(log_probs.exp()).sum(-1, keepdim=True)
    return _keep_fewest(logits, -(log_probs + entropy).abs(), p)


def _keep_fewest(logits: Tensor, score: Tensor, p: float) -> Tensor:
    """The tokens of the highest ``score``, as few as have the probability ``p`` together, and at least one."""
    ordered, mass = _enough(logits, score, p)
    mass_before = mass.cumsum(-1).roll(1, dims=-1)
    mass_before[:, 0] = 0
    size = (mass_before < p).sum(-1, keepdim=True).clamp(min=1)
    least = ordered.gather(-1, size - 1)
    return logits.masked_fill(~_largest(score, least, size), _NEGATIVE_INFINITY)


def _enough(logits: Tensor, score: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The highest scores of each row, in order, and the probability of each: so many that those reach ``p``."""
    accurate = _at_least_fp32(logits)
    total = torch.logsumexp(accurate, dim=-1, keepdim=True)

    def highest(count: int) -> tuple[Tensor, Tensor]:
        ordered, ids = score.topk(count, dim=-1)
        return ordered, (accurate.gather(-1, ids) - total).exp()

    for count in _LOOKS:
        if count < logits.shape[-1]:
            ordered, mass = highest(count)
            if bool((mass.sum(-1) >= p).all()):
                return ordered, mass
    return highest(logits.shape[-1])


def _largest(score: Tensor, least: Tensor, count: Tensor | int) -> Tensor:
    """Which are the ``count`` largest of each row, given the smallest of them; ties go to the lower ids."""
    above, tied = score > least, score == least
    left = count - above.sum(-1, keepdim=True)
    return above | (tied & (tied.cumsum(-1) <= left))


def _at_least_fp32(logits: Tensor) -> Tensor:
    """A running sum of 16-bit probabilities is off by whole tokens."""
    return logits.float() if logits.dtype.itemsize < 4 else logits


# Names to processors -------------------------------------------------------------------------------------------------

_Step = Callable[[Tensor, GenerationSettings, Sequence[History]], Tensor]


def _penalty(name: str, neutral: float, apply: Callable[[Tensor, float, Sequence[History]], Tensor]) -> _Step:
    def step(logits: Tensor, settings: GenerationSettings, histories: Sequence[History]) -> Tensor:
        value = getattr(settings, name)
        return logits if value == neutral else apply(logits, value, histories)

    return step


def _cut(name: str, apply: Callable[[Tensor, Any], Tensor]) -> _Step:
    def step(logits: Tensor, settings: GenerationSettings, histories: Sequence[History]) -> Tensor:
        value = getattr(settings, name)
        return logits if value is None else apply(logits, value)

    return step


_GREEDY: dict[str, _Step] = {
    "repetition_penalty": _penalty("repetition_penalty", 1, with_repetition_penalty),
    "frequency_penalty": _penalty("frequency_penalty", 0, with_frequency_penalty),
    "presence_penalty": _penalty("presence_penalty", 0, with_presence_penalty),
}
_SAMPLED: dict[str, _Step] = _GREEDY | {
    "temperature": _cut("temperature", with_temperature),
    "top_k": _cut("top_k", keep_top_k),
    "top_p": _cut("top_p", keep_top_p),
    "min_p": _cut("min_p", keep_min_p),
    "typical_p": _cut("typical_p", keep_typical),
}
