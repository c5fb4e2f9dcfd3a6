"""A case of the labelled set, and how its parts are drawn."""

import random
import string
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Case:
    """One text, and what should be found there."""

    text: str
    spans: tuple[tuple[str, int, int], ...]
    """(kind, start, end) of each private value; empty for a text that must stay as it is."""
    name: str
    """Which form it is, to see what fails."""


def some_digits(random_: random.Random, count: int) -> str:
    """So many random digits."""
    return "".join(random_.choices(string.digits, k=count))


def drawn(random_: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random characters with two digits at least, as any generator of keys gives at these lengths."""
    while True:
        drawn = "".join(random_.choices(alphabet, k=count))
        if sum(character.isdigit() for character in drawn) >= 2:
            return drawn
