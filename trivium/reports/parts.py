"""What a page is built of: each function gives a piece of HTML, with every text from outside escaped."""

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

_MARGIN, _ROW = 110, 24
"""Pixels of a heat map over its rows, for the names of its columns, and of each row."""


def escape(text: object) -> str:
    """Text as HTML."""
    return html.escape(str(text))


def visible(piece: str) -> str:
    """A piece of text with its white space made visible, as plain text."""
    return piece.replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣")


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph of a class of the style sheet."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def cards(facts: Iterable[tuple[str, str]]) -> str:
    """(figure, what it is) side by side."""
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card"><b>{escape(figure)}</b><span>{escape(words)}</span></div>' for figure, words in facts
        )
        + "</div>"
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, highlighted: Sequence[int] = ()) -> str:
    """A table; numbers stand at the right. A row whose index is `highlighted` is ours."""
    rows = [list(row) for row in rows]
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(headings))]
    kinds = [' class="number"' if is_number else "" for is_number in numeric]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, headings, strict=True))
    body = ""
    for index, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{_cell(value)}</td>" for kind, value in zip(kinds, row, strict=True))
        body += f'<tr class="ours">{cells}</tr>' if index in highlighted else f"<tr>{cells}</tr>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def bars(items: Sequence[tuple[str, float, str]], *, muted: bool = False) -> str:
    """(name, length, words at the right) as horizontal bars of one scale."""
    longest = max((length for _, length, _ in items), default=0) or 1
    kind = "bar muted" if muted else "bar"
    return "".join(
        f'<div class="{kind}"><span class="name">{escape(name)}</span>'
        f'<i style="width:{100 * length / longest:.1f}%"></i><span class="number">{escape(words)}</span></div>'
        for name, length, words in items
    )


def text(content: str, given: str = "") -> str:
    """A text that was written, after what was `given` to begin it."""
    return f'<div class="text"><span class="given">{escape(given)}</span>{escape(content)}</div>'


def compared(name: str, versions: Iterable[tuple[str, str]]) -> str:
    """Several versions of one thing, (which, text) each, under its name."""
    rows = "".join(f"<dt>{escape(which)}</dt><dd>{escape(words)}</dd>" for which, words in versions)
    return f'<div class="compared"><code>{escape(name)}</code><dl>{rows}</dl></div>'


def shaded_text(pieces: Sequence[tuple[str, float]], typical: float) -> str:
    """(piece, bits) in a row, green where it cost less than `typical` bits, orange where it cost more."""
    marks = []
    for piece, bits in pieces:
        tone = min(abs(bits - typical) / (typical if bits < typical else 2 * typical), 1.0)
        name, most = ("cheap", 0.38) if bits < typical else ("dear", 0.6)
        style = f"background:rgba(var(--{name}),{tone * most:.2f})"
        marks.append(f'<mark style="{style}" title="{bits:.2f} bits">{escape(piece)}</mark>')
    return f'<div class="text">{"".join(marks)}</div>'


def chart(data: Sequence[dict[str, Any]], layout: dict[str, Any], *, label: str, caption: str = "") -> str:
    """A drawing: traces and layout as Plotly names them, colours as the style sheet names them.

    `label` says in words what it shows, for those who do not see it.
    """
    # Inside a script element "</script" and "<!--" mean something, even in a string.
    description = json.dumps({"data": list(data), "layout": layout}).replace("<", "\\u003c")
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    height = f' style="height:{layout["height"]}px"' if "height" in layout else ""
    return (
        f'<figure class="chart"><div class="plot" role="img" aria-label="{escape(label)}"{height}></div>'
        f'<script type="application/json">{description}</script>{note}</figure>'
    )


def lines(
    series: Sequence[tuple[str, str, Sequence[float], Sequence[float | None]]],
    *,
    x: str,
    y: str,
    label: str,
    caption: str,
    height: int = 340,
    ticks: Sequence[tuple[float, str]] | None = None,
) -> str:
    """(name, colour, x values, y values) as curves; a gap where a value is None.

    ``ticks`` are (place, words) of the horizontal axis, where numbers do not say it.
    """
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(xs) <= 12 else "lines",
            "name": name,
            "x": list(xs),
            "y": list(ys),
            "line": {"color": colour, "width": 2.4},
            "marker": {"color": colour},
            "connectgaps": True,
            "hovertemplate": "%{y:.4g}<extra>" + _drawn(name) + "</extra>",
        }
        for name, colour, xs, ys in series
    ]
    axis: dict[str, Any] = {"title": {"text": x}}
    if ticks is not None:
        axis |= {"tickvals": [place for place, _ in ticks], "ticktext": [words for _, words in ticks]}
    upright: dict[str, Any] = {"title": {"text": y}}
    values = {value for *_, ys in series for value in ys if value is not None}
    if len(values) == 1 and (only := values.pop()):  # else drawn from 1 below to 1 above: a rate looks like 0
        upright["range"] = sorted((0.0, 2.0 * only))
    layout = {"height": height, "xaxis": axis, "yaxis": upright}
    return chart(data, layout, label=label, caption=caption)


def ranges(
    series: Sequence[tuple[str, str, Sequence[tuple[float, float, float]]]],
    *,
    x: str,
    y: str,
    label: str,
    caption: str,
) -> str:
    """(name, colour, (low, middle, high) at 0, 1, 2 and so on) on a logarithmic axis: the middle as a curve, the others
    dotted beside it. What is 0, or no number, has no place there, and leaves a gap."""
    data = []
    for name, colour, values in series:
        for which, column in zip(("low", "middle", "high"), zip(*values, strict=True), strict=True):
            main = which == "middle"
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": name,
                    "legendgroup": name,
                    "showlegend": main,
                    "x": list(range(len(column))),
                    "y": [float(f"{value:.4g}") if 0 < value < math.inf else None for value in column],
                    "line": {"color": colour, "width": 2.4 if main else 1, "dash": "solid" if main else "dot"},
                    "hovertemplate": "%{x} back: %{y:.2e}<extra>" + _drawn(name) + "</extra>",
                    "hoverinfo": "all" if main else "skip",
                }
            )
    drawn = [math.log10(value) for _, _, values in series for row in values for value in row if 0 < value < math.inf]
    decades = max(drawn) - min(drawn) if drawn else 0
    # Powers of ten alone, at most eight of them; within one or two, 1, 2 and 5 of each.
    apart = "D2" if decades < 2 else math.ceil(decades / 8)
    axis = {"title": {"text": y}, "type": "log", "exponentformat": "power", "dtick": apart}
    layout = {"height": 380, "xaxis": {"title": {"text": x}}, "yaxis": axis}
    return chart(data, layout, label=label, caption=caption)


def points(
    series: Sequence[tuple[str, str, Sequence[tuple[float, float]]]], *, x: str, y: str, label: str, caption: str
) -> str:
    """(name, colour, (x, y) each in [0, 1]) as clouds of points in a square."""
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [round(a, 3) for a, _ in places],
            "y": [round(b, 3) for _, b in places],
            "marker": {"color": colour, "size": 5, "opacity": 0.45},
            "hovertemplate": "%{x:.2f}, %{y:.2f}<extra>" + _drawn(name) + "</extra>",
        }
        for name, colour, places in series
    ]
    axis = {"range": [-0.03, 1.03], "dtick": 0.25, "zeroline": False}
    layout = {
        "height": 330,
        "xaxis": {**axis, "title": {"text": x}},
        "yaxis": {**axis, "title": {"text": y}},
        "showlegend": len(series) > 1,
    }
    return chart(data, layout, label=label, caption=caption)


def columns(items: Sequence[tuple[str, float, str]], *, unit: str, label: str, caption: str = "") -> str:
    """(name, value, colour) as horizontal bars with their values, the first on top."""
    names, values, colours = zip(*items, strict=True)
    data = {
        "type": "bar",
        "orientation": "h",
        "x": list(values),
        "y": list(names),
        "text": [f"{value:.2f}" for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": list(colours)},
        "hovertemplate": "%{y}: %{x:.3f} " + unit + "<extra></extra>",
    }
    layout = {
        "height": 60 + 38 * len(items),
        "xaxis": {"title": {"text": unit}, "range": [0, max(values) * 1.12]},
        "yaxis": {"autorange": "reversed", "ticksuffix": "  "},
        "bargap": 0.35,
    }
    return chart([data], layout, label=label, caption=caption)


def grouped(
    names: Sequence[str], series: Sequence[tuple[str, str, Sequence[float]]], *, unit: str, label: str, caption: str
) -> str:
    """For each of `names`, one horizontal bar a series of (name, colour, values)."""
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": list(values),
            "y": list(names),
            "marker": {"color": colour},
            "hovertemplate": "%{y}: %{x:.2f} " + unit + "<extra>" + name + "</extra>",
        }
        for name, colour, values in series
    ]
    layout = {
        "height": 90 + 46 * len(names),
        "barmode": "group",
        "bargap": 0.3,
        "xaxis": {"title": {"text": unit}},
        "yaxis": {"autorange": "reversed", "ticksuffix": "  "},
    }
    return chart(data, layout, label=label, caption=caption)


def heatmap(values: Sequence[Sequence[float]], pieces: Sequence[str], *, label: str, caption: str) -> str:
    """A square of weights in [0, 1]: each row is a piece, each column a piece that it may look at."""
    # Nothing can be seen of what comes later: no colour rather than a zero.
    seen = [[v if j <= i else None for j, v in enumerate(row)] for i, row in enumerate(values)]
    layout = _named(pieces, pieces) | {"height": 400}
    layout["yaxis"]["scaleanchor"] = "x"
    return chart([_heat(seen)], layout, label=label, caption=caption)


def grid(
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    caption: str,
    told: Sequence[Sequence[str]] | None = None,
) -> str:
    """Values in [0, 1] as colours, the darker the nearer to 1, with a piece of text at each row and over each column.

    ``told`` is what pointing at each says beside the value.
    """
    layout = _named(rows, columns) | {"height": _MARGIN + _ROW * len(rows)}
    return chart([_heat(values, told)], layout, label=label, caption=caption)


def _heat(values: Sequence[Sequence[float | None]], told: Sequence[Sequence[str]] | None = None) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": list(range(len(values[0]))),
        "y": list(range(len(values))),
        "z": [[None if v is None else round(v, 3) for v in row] for row in values],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{z:.0%}<extra></extra>",
    }
    if told is not None:
        trace |= {"text": [list(row) for row in told], "hovertemplate": "%{z:.2f}, %{text}<extra></extra>"}
    return trace


def _named(rows: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    """The layout of a heat map with a piece of text at each row and over each column."""

    def axis(pieces: Sequence[str]) -> dict[str, Any]:
        names = [_drawn(visible(piece)) for piece in pieces]  # several may be alike: places are numbers
        named = {"tickvals": list(range(len(names))), "ticktext": names, "ticks": "", "tickfont": {"size": 11}}
        return named | {"showgrid": False, "zeroline": False}

    return {
        "xaxis": {**axis(columns), "side": "top", "tickangle": -60},
        "yaxis": {**axis(rows), "autorange": "reversed"},
    }


def _drawn(text: str) -> str:
    """Text as a drawing takes it: Plotly reads tags, and leaves out what it does not know, such as <unk>."""
    return html.escape(text, quote=False)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(value)
