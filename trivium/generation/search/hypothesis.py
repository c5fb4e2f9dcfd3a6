"""What a search gives, an answer with its score; and when an answer ends."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from trivium.generation.settings import GenerationSettings

Found = TypeVar("Found")

FinishReason = Literal["stop", "length"]

Stopped = Callable[[Sequence[int], list[int]], bool]
"""``stopped(read, token_ids)``: whether an answer after ``read`` has reached a text that ends it; asked after each new
token."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A finished answer."""

    token_ids: list[int]
    """New tokens, the end token included."""
    log_probs: list[float]
    """Natural log-probability of each in the unprocessed distribution."""
    score: float
    """What the search compares; the larger the better."""
    finish_reason: FinishReason
    """Why it ended: an end token or a stop text, or its longest length."""


def end_of(
    read: Sequence[int], token_ids: list[int], settings: GenerationSettings, stopped: Stopped | None
) -> FinishReason | None:
    """Why an answer ends with its newest token, if it does."""
    if token_ids[-1] in settings.eos_ids or (stopped is not None and stopped(read, token_ids)):
        return "stop"
    return "length" if len(token_ids) == settings.max_new_tokens else None


def completed(steps: Generator[None, None, Found]) -> Found:
    """What a search finds in the end, for callers who do nothing between its steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
