"""Why it understands: what its layers tell of a text, how they part the senses of a word, and where a word looks."""

import dataclasses
import html
from collections.abc import Sequence
from typing import Any, TypeVar

from trivium.reports import parts
from trivium.reports.page import Section

Value = TypeVar("Value")
Figure = tuple[float, float, float]
"""(low, what was measured, high) at 95 %."""

_MARGIN, _ROW = 120, 26
"""Pixels of a map over its rows, for the names of its columns, and of each row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeFacts:
    """Linear probes for one kind of labels, at every layer."""

    name: str
    """What was probed for: "polarity", "entities"."""
    unit: str
    """What bears a label: "texts" or "words"."""
    layers: Sequence[str]
    """From the lowest up; of an encoder-decoder "encoder 1" and so on, then "decoder 1" and so on."""
    accuracy: Sequence[Figure]
    """Share of held-out examples that is right, at each layer."""
    f1: Sequence[Figure]
    """The F1 at each layer."""
    majority: float
    """Accuracy of always saying the most frequent label."""
    control: Sequence[float] | None = None
    """Accuracy of the control task at each layer; None where there is none."""
    control_f1: Sequence[float] | None = None
    """F1 of the control task at each layer; None where there is none."""
    learnt: int
    """Examples that the probes learnt from."""
    held_out: int
    """Examples that they were measured on."""
    classes: Sequence[tuple[str, int, int]] = ()
    """Each label, how many examples of it the probes learnt from, and how many they were measured on."""
    outside: str | None = None
    """The label that marks nothing and is left out of the F1."""
    left_out: int = 0
    """Held-out examples that were not measured on, for their labels were not there to learn."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistanceFacts:
    """How far a word is from itself in other sentences, as 1 - cosine, at every layer."""

    word: str
    layers: Sequence[str]
    """From the lowest up."""
    same: Sequence[float]
    """In one sense."""
    different: Sequence[float]
    """In different senses."""
    anywhere: Sequence[float]
    """Between any two words of different sentences."""
    uses: Sequence[tuple[str, str]] = ()
    """Each sentence, and the sense of the word in it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionFacts:
    """Where one word of a sentence looks."""

    word: str
    sentence: str
    words: Sequence[str]
    """All words of the sentence, special tokens among them."""
    names: Sequence[str]
    """Of the layers, from the lowest: "layer 1"."""
    layers: Sequence[Sequence[float]]
    """For each layer the share of the attention that each word gets, the mean over the heads."""
    about: Sequence[tuple[str, Sequence[Sequence[float]]]] = ()
    """A word, and the share that it gets in each layer and head; several, to be seen beside each other."""
    heads: Sequence[tuple[str, Sequence[float]]] = ()
    """(name, shares) of the heads that look most at the first of ``about``."""


def understanding_sections(
    probes: Sequence[ProbeFacts] = (),
    distances: Sequence[DistanceFacts] = (),
    attention: Sequence[AttentionFacts] = (),
) -> list[Section]:
    """The sections for what was measured, in this order."""
    sections = [probe_section(probes)] if probes else []
    sections += [distance_section(distances)] if distances else []
    return sections + ([attention_section(attention)] if attention else [])


# What its layers know -------------------------------------------------------------------------------------------------


def probe_section(probes: Sequence[ProbeFacts]) -> Section:
    """What can be read off each layer; there is at least one kind of labels."""
    body = parts.paragraph(
        "At each layer a linear classifier, a probe, learns to tell the labels from that layer's vectors alone, and is "
        "measured on examples that it has not seen. Where it does better than at the embeddings, the layers have made "
        "something plain that was not plain before. That the model uses it is not shown by this."
    )
    for facts in probes:
        body += f"<h3>{parts.escape(facts.name)}</h3>" + probe_charts(facts)
        body += parts.table(*_probe_table(facts)) + parts.table(*_class_table(facts))
    note = (
        "Vertical lines, and brackets: 95 %, a bootstrap over texts of the kind, not over trainings. Layers "
        "whose lines overlap much are not told apart. Probes: Alain and Bengio 2017."
    )
    if any(facts.control is not None for facts in probes):
        note += (
            " The control task gives every kind of word a label of chance, so that words must be known by heart; "
            "selectivity is what a probe has above it, in percentage points (Hewitt and Liang 2019). Where one label "
            "is nearly all of them the accuracy of both is high for that reason alone. The F1 shows what is left, but "
            "a word as common as “the” that drew a rare label makes the control task's easy: below zero, the layer "
            "tells which word it is better than what it is."
        )
    return Section(title="What its layers know", body=body + parts.paragraph(note, "note"))


def probe_charts(facts: ProbeFacts) -> str:
    """The accuracy by layer; of words the F1 too: the drawings alone."""
    caption = f"Learnt from {facts.learnt:,} {facts.unit}, measured on {facts.held_out:,} others."
    if facts.left_out:
        caption += f" {facts.left_out:,} more were left out: no example of their labels was there to learn from."
    drawn = _probe_chart(facts, "accuracy", facts.accuracy, facts.control, facts.majority, caption)
    if facts.control_f1 is None:
        return drawn
    kind = "the mean over the labels" if facts.outside is None else f"of all labels but {facts.outside}, together"
    return drawn + _probe_chart(facts, "F1", facts.f1, facts.control_f1, None, f"F1 of single {facts.unit}: {kind}.")


def _probe_chart(
    facts: ProbeFacts,
    figure: str,
    values: Sequence[Figure],
    control: Sequence[float] | None,
    majority: float | None,
    caption: str,
) -> str:
    middle = [each for _, each, _ in values]
    trace = _curve("probe", "first", middle, facts.layers)
    trace["error_y"] = {
        "type": "data",
        "symmetric": False,
        "array": _with_gap([high - each for _, each, high in values], facts.layers),
        "arrayminus": _with_gap([each - low for low, each, _ in values], facts.layers),
        "thickness": 1.2,
        "width": 3,
    }
    data = [trace]
    if control is not None:
        data.append(_curve("control task", "second", control, facts.layers, dash="dash"))
    if majority is not None:
        data.append(
            _curve("always the most frequent label", "muted", [majority] * len(middle), facts.layers, dash="dot")
        )
    best = max(range(len(middle)), key=lambda place: middle[place])
    label = f"{figure} for {facts.name} by layer; highest at {facts.layers[best]}: {middle[best]:.0%}"
    axis = {"title": {"text": f"{figure} on held-out {facts.unit}"}, "tickformat": ".1~%"}
    layout = {"height": 340, "xaxis": _layer_axis(facts.layers), "yaxis": axis}
    return parts.chart(data, layout, label=label, caption=caption)


def _probe_table(facts: ProbeFacts) -> tuple[Sequence[str], list[Sequence[str]]]:
    headings = ["", "accuracy", "F1"]
    if facts.control is not None:
        headings = ["", "accuracy", "of control", "selectivity", "F1", "of control", "selectivity"]
    rows: list[Sequence[str]] = []
    for place, layer in enumerate(facts.layers):
        row = [layer]
        for figures, control in ((facts.accuracy, facts.control), (facts.f1, facts.control_f1)):
            row.append(_with_interval(figures[place]))
            if control is not None:
                row += [f"{control[place]:.1%}", f"{100 * (figures[place][1] - control[place]):+.1f}"]
        rows.append(row)
    return headings, rows


def _class_table(facts: ProbeFacts) -> tuple[Sequence[str], list[Sequence[Any]]]:
    return ("label", f"{facts.unit} learnt from", f"{facts.unit} measured on"), [list(row) for row in facts.classes]


def _with_interval(figure: Figure) -> str:
    low, middle, high = figure
    return f"{middle:.1%} ({100 * low:.1f} to {100 * high:.1f})"


# One word, two senses -------------------------------------------------------------------------------------------------


def distance_section(distances: Sequence[DistanceFacts]) -> Section:
    """How the senses of a word part; there is at least one word."""
    body = parts.paragraph(
        "A word has one vector below the first layer, whatever it means, but for its place in the sentence. Further up "
        "its vector takes in the sentence: if the model tells the senses apart, uses in different senses are further "
        "from each other than uses in one. Distances of different layers are not of one scale: compare the curves at "
        "each layer, with the dotted one as what is far there."
    )
    for facts in distances:
        body += f"<h3>{parts.escape(facts.word)}</h3>" + distance_chart(facts)
        if facts.uses:
            body += parts.table(("sentence", "sense"), facts.uses)
    note = "A few sentences show what this is, and measure little: other words that stand near the word part it too."
    return Section(title="One word, two senses", body=body + parts.paragraph(note, "note"))


def distance_chart(facts: DistanceFacts) -> str:
    """Distances by layer: the drawing alone."""
    data = [
        _curve("different senses", "second", facts.different, facts.layers),
        _curve("the same sense", "first", facts.same, facts.layers),
        _curve("any two words", "muted", facts.anywhere, facts.layers, dash="dot"),
    ]
    label = (
        f"Distances between uses of {facts.word} by layer; at {facts.layers[-1]}: different senses "
        f"{facts.different[-1]:.2f}, the same sense {facts.same[-1]:.2f}"
    )
    axis = {"title": {"text": "distance, 1 - cosine"}, "rangemode": "tozero"}
    layout = {"height": 340, "xaxis": _layer_axis(facts.layers), "yaxis": axis}
    return parts.chart(data, layout, label=label, caption="Means over all pairs of uses of each kind.")


# Where it looks -------------------------------------------------------------------------------------------------------


def attention_section(attention: Sequence[AttentionFacts]) -> Section:
    """Where a word looks; there is at least one word."""
    body = parts.paragraph(
        "How a word's attention is shared out over the words of its sentence: the darker the more, and each row of "
        "words sums to 100 %. The pieces of a word count as one. Heads look at many things, at the ends of the "
        "sentence above all. That a head looks at the right word is a hint and no proof: among many heads some do by "
        "chance, and where a head looks need not be what the model goes by (Jain and Wallace 2019)."
    )
    for facts in attention:
        title = f"“{facts.word}” in “{facts.sentence}”"
        body += f"<h3>{parts.escape(title)}</h3>" + attention_charts(facts)
    return Section(title="Where it looks", body=body)


def attention_charts(facts: AttentionFacts) -> str:
    """The drawings alone: by layer over the words, by layer and head at single words, and single heads."""
    label = f"Attention of {facts.word} over the words of its sentence, by layer"
    drawn = _map(facts.layers, facts.names, facts.words, label=label, caption="The mean over the heads of each layer.")
    most = max((share for _, layers in facts.about for layer in layers for share in layer), default=1.0)
    for word, layers in facts.about:
        heads = [f"head {number}" for number in range(1, len(layers[0]) + 1)]
        caption = f"The share of “{word}”, layer by layer and head by head; evenly spread it were {_even(facts)}."
        label = f"Share of the attention of {facts.word} that {word} gets, by layer and head"
        drawn += _map(layers, facts.names, heads, label=label, caption=caption, most=most)
    if facts.heads:
        names, weights = zip(*facts.heads, strict=True)
        about = facts.about[0][0]
        caption = f"The heads in which “{facts.word}” looks most at “{about}”, chosen after the fact."
        label = f"Attention of {facts.word} over the words of its sentence, in the heads that look most at {about}"
        drawn += _map(weights, names, facts.words, label=label, caption=caption)
    return drawn


def _even(facts: AttentionFacts) -> str:
    return f"{1 / len(facts.words):.0%}"


def _map(
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    caption: str,
    most: float | None = None,
) -> str:
    """Shares as colours, with their scale beside; the darkest is ``most``, else the largest of them."""
    top = max(max(row) for row in values) if most is None else most
    trace = {
        "type": "heatmap",
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": [[round(share, 3) for share in row] for row in values],
        "zmin": 0,
        "zmax": round(top, 3) or 1,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"tickformat": ".0%", "thickness": 12, "outlinewidth": 0, "nticks": 4, "len": 1},
        "hovertemplate": "%{z:.1%}<extra></extra>",
    }

    def named(names: Sequence[str]) -> dict[str, Any]:
        # Plotly reads tags in names, and leaves out what it does not know, such as <s>.
        texts = [html.escape(name, quote=False) for name in names]
        ticks = {"tickvals": list(range(len(names))), "ticktext": texts, "ticks": "", "tickfont": {"size": 12}}
        return {**ticks, "showgrid": False, "zeroline": False}

    layout = {
        "height": _MARGIN + _ROW * len(rows),
        "xaxis": {**named(columns), "side": "top", "tickangle": -60},
        "yaxis": {**named(rows), "autorange": "reversed", "ticksuffix": "  "},
    }
    return parts.chart([trace], layout, label=label, caption=caption)


# Curves by layer ------------------------------------------------------------------------------------------------------


def _curve(
    name: str, colour: str, values: Sequence[float], layers: Sequence[str], *, dash: str = "solid"
) -> dict[str, Any]:
    drawn = _with_gap([round(value, 4) for value in values], layers)
    return {
        "type": "scatter",
        "mode": "lines" if dash != "solid" else "lines+markers",
        "name": name,
        "x": list(range(len(drawn))),
        "y": drawn,
        "line": {"color": colour, "width": 2.4 if dash == "solid" else 1.6, "dash": dash},
        "marker": {"color": colour},
        "hovertemplate": "%{y:.3f}<extra>" + name + "</extra>",
    }


def _layer_axis(layers: Sequence[str]) -> dict[str, Any]:
    names = _with_gap(layers, layers)
    places = [place for place, name in enumerate(names) if name is not None]
    return {"tickvals": places, "ticktext": list(layers)}


def _with_gap(values: Sequence[Value], layers: Sequence[str]) -> list[Value | None]:
    """The values with None between those of two stacks: no line leads from an encoder's top into its decoder."""
    found: list[Value | None] = list(values)
    stacks = [name.split()[0] for name in layers]
    if "encoder" in stacks and "decoder" in stacks:
        found.insert(stacks.index("decoder"), None)
    return found
