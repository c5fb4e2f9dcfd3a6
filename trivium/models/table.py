"""The table of architectures for people and programs: `trivium.architectures()` and `trivium models`.

Nothing here imports torch: the list is printed at once.
"""

from dataclasses import dataclass

from trivium.models import ARCHITECTURES, Architecture
from trivium.models.parameter_counts import PARAMETERS


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a reader wants to know of one architecture."""

    name: str
    year: int
    paper: str
    developer: str
    kind: str
    parameters: dict[str, int]
    """Trainable parameters of each published size, by its name; none where the paper names no size."""
    loads: bool
    """Whether checkpoints that others published load here; False for families that only Trivium saves."""


def architectures() -> tuple[Row, ...]:
    """One row an architecture, in the order of history."""
    return tuple(_row(entry) for entry in ARCHITECTURES)


def _row(entry: Architecture) -> Row:
    return Row(
        name=entry.name,
        year=entry.year,
        paper=entry.paper,
        developer=entry.developer,
        kind=entry.kind,
        parameters=dict(PARAMETERS.get(entry.name, {})),
        loads=any(not name.startswith("trivium-") for name in entry.model_types),
    )
