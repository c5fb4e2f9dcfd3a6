"""Generators of text on one plane: how good their texts are and how much of the language they have. Plain figures in.

Both axes are costs, lower being better, so that the better generator lies to the lower left; each curve is one way of
training, from its hottest to its coldest temperature.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.reports import parts
from trivium.reports.page import Section

_COLOURS = ("first", "second", "third", "fourth")
_DASHES = ("solid", "dash", "dot", "dashdot")

Range = tuple[float, float, float]
"""Low end, estimate and high end."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A generator at one temperature, over its seeds."""

    temperature: float
    """By which its logits were divided."""
    quality: Range
    """Cost on the horizontal axis."""
    diversity: Range
    """Cost on the vertical axis."""
    measures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Further figures for the table, by name; the same names for every point."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """One way of training."""

    name: str
    """As people know it: "maximum likelihood", "SeqGAN"."""
    points: Sequence[CurvePoint]
    """In the order of temperature; one where it was measured at one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorFacts:
    """Everything the section tells."""

    curves: Sequence[Curve]
    """The one that the others are compared with first."""
    verdicts: Sequence[str]
    """For each of the others, in words, whether it leaves the frontier of the first."""
    quality: str
    """What the horizontal axis is: "NLL_oracle, nats a token"."""
    diversity: str
    """What the vertical axis is."""
    seeds: int
    """Runs behind every point."""
    ideal: tuple[float, float] | None = None
    """(quality, diversity) that real text itself has, where that is known."""


def generator_section(facts: GeneratorFacts) -> Section:
    """The verdicts, the plane, and all its points as a table."""
    body = "".join(parts.paragraph(words, "lead" if not place else "") for place, words in enumerate(facts.verdicts))
    body += parts.paragraph(
        "Every generator can be cooled: its texts get better, and it says less. So a generator is a curve, and one is "
        "better than another where its curve lies further to the lower left, not where one of its points does."
    )
    body += _plane(facts) + _table(facts)
    runs = f"{facts.seeds} runs with other seeds" if facts.seeds > 1 else "one run"
    note = f"Each point is the mean of {runs}, with its interval at 95 %." if facts.seeds > 1 else f"All is of {runs}."
    return Section(title="Quality and diversity", body=body + parts.paragraph(note, "quiet"))


def _plane(facts: GeneratorFacts) -> str:
    data = [_trace(place, curve) for place, curve in enumerate(facts.curves)]
    if facts.ideal is not None:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "real text",
                "x": [facts.ideal[0]],
                "y": [facts.ideal[1]],
                "marker": {"color": "muted", "size": 12, "symbol": "star"},
                "hovertemplate": "%{x:.4g}, %{y:.4g}<extra>real text</extra>",
            }
        )
    axes = {"xaxis": facts.quality, "yaxis": facts.diversity}
    layout = {name: {"title": {"text": parts.escape(words)}, "zeroline": False} for name, words in axes.items()}
    names = ", ".join(curve.name for curve in facts.curves)
    return parts.chart(
        data,
        layout | {"height": 440, "showlegend": True},
        label=f"{facts.diversity} against {facts.quality}: {names}",
        caption="Lower is better on both axes. Along a curve the temperature changes; pointing at it says which it is.",
    )


def _trace(place: int, curve: Curve) -> dict[str, Any]:
    colour = _COLOURS[place % len(_COLOURS)]
    name = parts.escape(curve.name)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [point.quality[1] for point in curve.points],
        "y": [point.diversity[1] for point in curve.points],
        "error_x": _bars([point.quality for point in curve.points]),
        "error_y": _bars([point.diversity for point in curve.points]),
        "text": [f"temperature {point.temperature:g}" for point in curve.points],
        # More curves than colours: the next ones are dashed.
        "line": {"color": colour, "width": 2.4, "dash": _DASHES[place // len(_COLOURS) % len(_DASHES)]},
        "marker": {"color": colour, "size": 7},
        "hovertemplate": "%{text}: %{x:.4g}, %{y:.4g}<extra>" + name + "</extra>",
    }


def _bars(ranges: Sequence[Range]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - middle for _, middle, high in ranges],
        "arrayminus": [middle - low for low, middle, _ in ranges],
        "thickness": 1,
        "width": 0,
    }


def _table(facts: GeneratorFacts) -> str:
    further = list(dict.fromkeys(name for curve in facts.curves for point in curve.points for name in point.measures))
    rows = [
        (
            curve.name,
            f"{point.temperature:g}",
            _told(point.quality),
            _told(point.diversity),
            *(f"{point.measures[name]:.3f}" if name in point.measures else "" for name in further),
        )
        for curve in facts.curves
        for point in curve.points
    ]
    return parts.table(("", "temperature", facts.quality, facts.diversity, *further), rows)


def _told(value: Range) -> str:
    low, middle, high = value
    return f"{middle:.3f}" if low == high else f"{middle:.3f} [{low:.3f}, {high:.3f}]"
