"""How well a classifier or a tagger does on what was held out, label by label, and where it is wrong."""

import dataclasses
from collections.abc import Mapping, Sequence

from trivium.reports import parts
from trivium.reports.page import Section

_SHOWN_CHARACTERS = 240


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mistake:
    """One text, or one sentence, that was labelled wrongly."""

    text: str
    wanted: str
    """What the data says."""
    given: str
    """What the model says."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """What was measured."""

    count: int
    """Texts or sentences that were measured on."""
    figures: Mapping[str, float]
    """Figures of all of them together, by name, each between 0 and 1."""
    intervals: Mapping[str, Sequence[float]]
    """(low, high) of those that have one, at 95 %."""
    per_label: Mapping[str, Mapping[str, float]]
    """"precision", "recall", "f1" and "support" of each label."""
    mistakes: Sequence[Mistake]
    """Some of them."""


def label_sections(found: Labelled) -> list[Section]:
    """The figures with a row a label, and some mistakes where there are any."""
    shown = [(f"{100 * value:.1f} %", _words(name, found.intervals.get(name))) for name, value in found.figures.items()]
    body = parts.paragraph(f"Measured on {found.count:,} that it was not trained on.") + parts.cards(shown)
    columns = ("precision", "recall", "f1")
    rows = [
        (label, *(100 * float(row[name]) for name in columns), int(row["support"]))
        for label, row in found.per_label.items()
    ]
    body += parts.table(("label", "precision, %", "recall, %", "F1, %", "in the data"), rows)
    sections = [Section(title="How well it does", body=body)]
    if found.mistakes:
        told = "".join(
            parts.compared(str(number), (("text", one.text[:_SHOWN_CHARACTERS]), ("data", one.wanted),
                                         ("model", one.given)))
            for number, one in enumerate(found.mistakes, start=1)
        )  # fmt: skip
        sections.append(Section(title="Where it is wrong", body=told))
    return sections


def _words(name: str, interval: Sequence[float] | None) -> str:
    words = name.replace("_", " ")
    return words if interval is None else f"{words}, {100 * interval[0]:.1f} to {100 * interval[1]:.1f} at 95 %"
