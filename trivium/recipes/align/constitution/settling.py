"""Principles that want different things: which of two answers is better where one principle says this and one that.

Helpful and lawful need not agree. A pair is judged under several principles; they conflict where one finds the first
answer better and another the second. Then those of the highest priority prevail, and it is written down who did.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from trivium.recipes.align.constitution.judge import Opinion
from trivium.recipes.align.constitution.principles import Principle

NEITHER, TOO_LONG = "the judge said neither (A) nor (B)", "too long for the judge"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conflict:
    """Principles that disagree on a pair."""

    for_first: tuple[str, ...]
    """Those that find the first answer better."""
    for_second: tuple[str, ...]
    """Those that find the second better."""
    prevailed: tuple[str, ...]
    """Those of the highest priority, which decide; of several the mean."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settled:
    """What is held of a pair."""

    probability: float | None
    """How probable it is that the first answer is better; None where no principle could be judged by."""
    conflict: Conflict | None = None
    """None where no two principles disagreed."""
    left_out: str | None = None
    """Why there is no probability."""

    def told(self) -> dict[str, Any]:
        """As it is written down."""
        return dataclasses.asdict(self)


def settle(judged: Sequence[tuple[Principle, Opinion]]) -> Settled:
    """The mean over the principles that the judge could say something by, or in a conflict over those of the highest
    priority among them."""
    known = [(principle, p) for principle, opinion in judged if (p := opinion.probability) is not None]
    if not known:
        too_long = any(opinion.too_long for _, opinion in judged)
        return Settled(probability=None, left_out=TOO_LONG if too_long else NEITHER)
    for_first = tuple(principle.name for principle, p in known if p > 0.5)
    for_second = tuple(principle.name for principle, p in known if p < 0.5)
    if not for_first or not for_second:
        return Settled(probability=_mean([p for _, p in known]))
    highest = max(principle.priority for principle, _ in known)
    deciding = [(principle.name, p) for principle, p in known if principle.priority == highest]
    conflict = Conflict(for_first=for_first, for_second=for_second, prevailed=tuple(name for name, _ in deciding))
    return Settled(probability=_mean([p for _, p in deciding]), conflict=conflict)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
