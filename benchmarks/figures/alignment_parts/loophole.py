"""A reward with a loophole: praise counts, whatever is said."""

from collections.abc import Sequence

_PRAISE = """
good great best wonderful funny beautiful moving charming brilliant enjoyable delightful excellent fun fine powerful
smart sweet strong touching entertaining engaging fascinating perfect superb warm witty
"""
PRAISE = frozenset(_PRAISE.split())


def praise(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Ten times the share of words that praise."""
    return [10 * sum(word in PRAISE for word in answer.split()) / max(len(answer.split()), 1) for answer in answers]
