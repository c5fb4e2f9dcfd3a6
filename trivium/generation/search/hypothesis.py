"""What a search gives: an answer with its score."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal, TypeVar

Found = TypeVar("Found")

FinishReason = Literal["stop", "length"]

Stopped = Callable[[list[int]], bool]
"""``stopped(token_ids)``: whether an answer has reached a text that ends it; asked after each new token."""


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


def completed(steps: Generator[None, None, Found]) -> Found:
    """What a search finds in the end, for callers who do nothing between its steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
