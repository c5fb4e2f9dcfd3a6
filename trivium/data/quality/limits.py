"""What a rule is: a figure of a text, and the bound that it has to keep."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the rules say of one text."""

    rule: str | None = None
    """The first rule that the text breaks, as it stands in the funnel; None keeps the text."""
    detail: str = ""
    """The figure that broke it, beside its bound; of a blocklist the word, masked."""


KEEP = Verdict()


class Limit(NamedTuple):
    """A text is kept when ``figure relation bound`` holds."""

    rule: str
    """The name of what a text breaks otherwise."""
    figure: float
    """What was measured."""
    relation: str
    """">=", "<=", ">" or "<"."""
    bound: float
    """The threshold."""


def first_broken(limits: Iterable[Limit]) -> Verdict:
    """The verdict of the first limit that does not hold, or `KEEP`."""
    for rule, figure, relation, bound in limits:
        if not _HOLDS[relation](figure, bound):
            return Verdict(rule=rule, detail=f"{figure:.4g}, kept when {relation} {bound:.4g}")
    return KEEP
