"""Gained against lost: what a model could do before it was tuned and after. Takes plain figures, gives a section."""

import dataclasses
from collections.abc import Sequence

from trivium.reports import parts
from trivium.reports.page import Section


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """One figure, before and after."""

    what: str
    """What was measured."""
    measure: str
    """By what."""
    before: float
    """Of the base."""
    after: float
    """Of the tuned model."""
    lower_is_better: bool
    """Whether a smaller figure is the better one."""
    drawn: bool
    """Whether it is one of the chart: those are losses, whose changes can be compared."""

    @property
    def gain_percent(self) -> float:
        """Change for the better, in per cent of what it was; below 0 for the worse."""
        change = self.before - self.after if self.lower_is_better else self.after - self.before
        return 100 * change / self.before if self.before else 0.0


def forgetting_section(figures: Sequence[Compared], *, text_source: str) -> Section:
    """The chart of losses, and the table of everything."""
    lead = "How much less the model has to guess, in per cent of its loss before; what is below zero was lost."
    body = parts.paragraph(lead) + _chart([figure for figure in figures if figure.drawn])
    rows = [
        (figure.what, figure.measure, f"{figure.before:.3f}", f"{figure.after:.3f}", _change(figure))
        for figure in figures
    ]
    body += parts.table(("", "measure", "before", "after", "change"), rows)
    if text_source:
        body += parts.paragraph(f"Text in general is {text_source}.", "quiet")
    return Section(title="Gained and lost", body=body)


def _change(figure: Compared) -> str:
    difference = figure.after - figure.before
    if not difference:
        return "none"
    better = (difference < 0) == figure.lower_is_better
    return f"{difference:+.3f}, {'better' if better else 'worse'}"


def _chart(figures: Sequence[Compared]) -> str:
    if not figures:
        return ""
    gains = [round(figure.gain_percent, 2) for figure in figures]
    data = {
        "type": "bar",
        "orientation": "h",
        "x": gains,
        "y": [parts.escape(figure.what) for figure in figures],
        "text": [f"{gain:+.1f} %" for gain in gains],
        "textposition": "auto",
        "marker": {"color": ["first" if gain >= 0 else "second" for gain in gains]},
        "hovertemplate": "%{y}: %{x:+.2f} %<extra></extra>",
    }
    layout = {
        "height": 90 + 46 * len(figures),
        "xaxis": {"title": {"text": "per cent of the loss before"}, "zeroline": True},
        "yaxis": {"autorange": "reversed", "ticksuffix": "  "},
        "bargap": 0.35,
    }
    label = "; ".join(f"{figure.what} {gain:+.1f} per cent" for figure, gain in zip(figures, gains, strict=True))
    return parts.chart([data], layout, label=label, caption="Gained (to the right) and lost (to the left).")
