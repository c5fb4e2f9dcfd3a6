"""What stands just before a place often says what follows: "tel", "order no.", "version", the name of a password."""

import re

CHARACTERS = 48
"""So far is looked back: it bounds the time of a search that begins anywhere and must end at the place."""


def said_before(pattern: re.Pattern[str], text: str, place: int) -> re.Match[str] | None:
    """The match of ``pattern``, which ends in ``\\Z``, that ends at ``place``."""
    return pattern.search(text, max(0, place - CHARACTERS), place)
