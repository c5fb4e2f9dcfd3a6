"""Names of layers as PEFT's options hold them: a text is a regular expression, a list holds endings."""

from typing import Any


def write_targets(targets: tuple[str, ...] | str) -> list[str] | str:
    """Ours as theirs."""
    return targets if isinstance(targets, str) else list(targets)


def read_targets(targets: Any) -> tuple[str, ...] | str:
    """Theirs as ours; None is no name."""
    return targets if isinstance(targets, str) else tuple(targets or ())
