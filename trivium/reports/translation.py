"""What a translation model made of some sentences, and where it looked while it wrote."""

import dataclasses
from collections.abc import Sequence

from trivium.reports import parts
from trivium.reports.page import Section


@dataclasses.dataclass(frozen=True, kw_only=True)
class Looks:
    """The attention of one translation to its source."""

    source: Sequence[str]
    """Pieces that were read."""
    target: Sequence[str]
    """Pieces that were written."""
    weights: Sequence[Sequence[float]]
    """For each piece written, how the attention was shared out over those read; each row sums to 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translated:
    """One sentence."""

    source: str
    reference: str
    """How somebody translated it."""
    translation: str
    """How the model did."""
    looks: Looks | None
    """None where the model sees its source as one vector."""


def translation_sections(items: Sequence[Translated]) -> list[Section]:
    """The sentences side by side, and the maps of those that have one."""
    sections = [Section(title="What it translates", body=_side_by_side(items))]
    maps = [item.looks for item in items if item.looks is not None]
    if maps:
        sections.append(Section(title="Where it looks", body=_maps(maps)))
    return sections


def _side_by_side(items: Sequence[Translated]) -> str:
    body = parts.paragraph("Sentences that it was not trained on, as they came, beside a translation that people made.")
    for number, item in enumerate(items, start=1):
        versions = (("source", item.source), ("reference", item.reference), ("translation", item.translation))
        body += parts.compared(str(number), versions)
    return body


def _maps(maps: Sequence[Looks]) -> str:
    body = parts.paragraph(
        "Each row is a piece that was written, and shows how the attention was shared out over the pieces of the "
        "source, the darker the more. Languages that put words in the same order give a diagonal; where they do not, "
        "it is broken."
    )
    for number, looks in enumerate(maps, start=1):
        name = f"Attention of translation {number} to its source"
        body += parts.grid(looks.weights, looks.target, looks.source, label=name, caption=f"Sentence {number}")
    return body
