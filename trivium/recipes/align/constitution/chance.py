"""Chance that depends on nothing but what it is for: the same draw before and after a run was killed."""

import random

_SEED_BITS = 31
"""Services take no more."""


def chance(seed: int, *what: str | int) -> random.Random:
    """The source of random numbers for `what`, such as ("principle", 17, 2): prompt 17, round 2."""
    return random.Random(repr((seed, *what)))


def seed_of(seed: int, *what: str | int) -> int:
    """A seed for sampling `what`, from 0 to 2^31 - 1."""
    return chance(seed, *what).getrandbits(_SEED_BITS)
