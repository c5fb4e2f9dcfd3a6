"""The table of architectures for people and programs: `trivium.architectures()` and `trivium models`.

Nothing here imports torch: the list is printed at once.
"""

from dataclasses import dataclass

from trivium.models import ARCHITECTURES, Architecture, architecture
from trivium.models.misfiled import MISFILED
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


@dataclass(frozen=True, kw_only=True)
class Misfiled:
    """An architecture that popular lists take for something else."""

    name: str
    """Of the table."""
    developer: str
    """Who published it."""
    kind: str
    """What it is."""
    taken_for: str
    """What it is not."""


def architectures() -> tuple[Row, ...]:
    """One row an architecture, in the order of history."""
    return tuple(_row(entry) for entry in ARCHITECTURES)


def misfiled() -> tuple[Misfiled, ...]:
    """Those that are often taken for something else, in the order of history."""
    rows = (entry for entry in ARCHITECTURES if entry.name in MISFILED)
    return tuple(
        Misfiled(name=entry.name, developer=entry.developer, kind=entry.kind, taken_for=MISFILED[entry.name])
        for entry in rows
    )


def _row(entry: Architecture) -> Row:
    return Row(
        name=entry.name,
        year=entry.year,
        paper=entry.paper,
        developer=entry.developer,
        kind=entry.kind,
        parameters=dict(PARAMETERS.get(entry.name, {})),
        loads=any(_is_published(name) and architecture(name) is entry for name in entry.model_types),
    )


def _is_published(model_type: str) -> bool:
    """Whether others write files of that type. One may belong to another row: Jurassic-1 is a GPT-2, and its weights
    were never published."""
    return not model_type.startswith("trivium-")
