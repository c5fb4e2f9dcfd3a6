"""What a page is built of: each function gives a piece of HTML, with every text from outside escaped."""

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any


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
) -> str:
    """(name, colour, x values, y values) as curves; a gap where a value is None."""
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(xs) <= 12 else "lines",
            "name": name,
            "x": list(xs),
            "y": list(ys),
            "line": {"color": colour, "width": 2.4},
            "connectgaps": True,
            "hovertemplate": "%{y:.3f}<extra>" + name + "</extra>",
        }
        for name, colour, xs, ys in series
    ]
    layout = {"height": 340, "xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
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
    places = list(range(len(pieces)))
    names = [visible(piece) for piece in pieces]
    axis = {"tickvals": places, "ticktext": names, "ticks": "", "tickfont": {"size": 11}}
    axis |= {"showgrid": False, "zeroline": False}
    data = {
        "type": "heatmap",
        "x": places,
        "y": places,
        # Nothing can be seen of what comes later: no colour rather than a zero.
        "z": [[round(v, 3) if j <= i else None for j, v in enumerate(row)] for i, row in enumerate(values)],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{z:.0%}<extra></extra>",
    }
    layout = {
        "height": 400,
        "xaxis": {**axis, "side": "top", "tickangle": -60},
        "yaxis": {**axis, "autorange": "reversed", "scaleanchor": "x"},
    }
    return chart([data], layout, label=label, caption=caption)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(value)
