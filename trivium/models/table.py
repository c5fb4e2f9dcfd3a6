"""The table of architectures for people and programs: `trivium.architectures()` and `trivium models`."""

from dataclasses import dataclass

import torch

from trivium.models import ARCHITECTURES, Architecture


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a reader wants to know of one architecture."""

    name: str
    year: int
    paper: str
    developer: str
    kind: str
    parameters: dict[str, int]
    """Trainable parameters of each published size, by its name."""
    loads: bool
    """Whether checkpoints that others published load here; False for families that only Trivium saves."""


def architectures() -> tuple[Row, ...]:
    """One row an architecture, in the order of history. Sizes are counted on networks without storage."""
    return tuple(_row(entry) for entry in ARCHITECTURES)


def _row(entry: Architecture) -> Row:
    return Row(
        name=entry.name,
        year=entry.year,
        paper=entry.paper,
        developer=entry.developer,
        kind=entry.kind,
        parameters={name: _count(entry, config) for name, config in entry.sizes().items()},
        loads=any(not name.startswith("trivium-") for name in entry.model_types),
    )


def _count(entry: Architecture, config: object) -> int:
    with torch.device("meta"):
        network = entry.model_class()(config)
    return sum(parameter.numel() for parameter in network.parameters())
