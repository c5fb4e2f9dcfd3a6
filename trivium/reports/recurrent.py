"""What is seen inside a recurrent network: how far back it learns, and what its gates do."""

import dataclasses
import math
from collections.abc import Sequence

from trivium.reports import parts
from trivium.reports.page import Section

COLOURS = ("first", "second", "third", "fourth", "muted")
"""Of several curves in one drawing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LagCurve:
    """The norm of the gradient of a loss at what was carried k tokens before, for k from 0."""

    name: str
    """What is traced: a layer, or a network."""
    norms: Sequence[tuple[float, float, float]]
    """(tenth percentile, mean, ninetieth percentile) at each k, in nats."""
    factor: float
    """What a token more multiplies it by, on average from one token back to the furthest."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateFacts:
    """One gate of one layer."""

    layer: int
    """Counted from 1."""
    gate: str
    """input, forget, output, reset or update."""
    sentence: Sequence[tuple[float, float, float]]
    """(mean over the units, share of them closed, share of them open) at each piece of a sentence."""
    units: Sequence[tuple[float, float]]
    """(share of a longer text at which it is closed, share at which it is open) for each unit."""
    mean: float
    """Over units and text."""


def lag_section(curves: Sequence[LagCurve], positions: int) -> Section:
    """How the gradient fares on its way back; `positions` are the losses that were traced."""
    body = parts.paragraph(
        "A recurrent network learns from what stood k tokens back by a gradient that has gone through k steps. "
        "Here it is: the norm of the gradient of the loss at one token with respect to what each layer carried k "
        f"tokens before, the mean over {positions:,} places of unseen text (dotted: a tenth of them are below, and a "
        "tenth above). A straight line down is a gradient that vanishes, a straight line up one that explodes."
    )
    body += lag_chart(curves)
    body += parts.table(("", "each token back multiplies it by", "it is halved after"), [_fate(c) for c in curves])
    note = (
        "The factor is that of the median, on average from one token back to the furthest. Bengio, Simard and Frasconi "
        "1994; Pascanu, Mikolov and Bengio 2013."
    )
    return Section(title="How far back it learns", body=body + parts.paragraph(note, "note"))


def lag_chart(curves: Sequence[LagCurve]) -> str:
    """The drawing alone."""
    series = [(curve.name, COLOURS[i % len(COLOURS)], curve.norms) for i, curve in enumerate(curves)]
    told = "; ".join(f"{curve.name}: {curve.factor:.3f} a token" for curve in curves)
    return parts.ranges(
        series,
        x="tokens back",
        y="norm of the gradient",
        label=f"Norm of the gradient against the tokens back, {told}",
        caption="Both what is carried in h and, of an LSTM, in c counts.",
    )


def gate_section(gates: Sequence[GateFacts], pieces: Sequence[str]) -> Section:
    """What the gates do over a sentence, and how they stand over a longer text. There is at least one gate."""
    body = parts.paragraph(
        "A gate is a number between 0 and 1 in every unit, by which something is multiplied: at 0 it is shut, at 1 it "
        "lets everything through. Each row is the mean of one gate over the units of a layer while the sentence is "
        "read, the darker the more open; pointing at it says how many of them are nearly shut or wide open."
    )
    for layer in sorted({gate.layer for gate in gates}):
        body += _sentence(layer, [gate for gate in gates if gate.layer == layer], pieces)
    body += "<h3>Over a longer text</h3>" + parts.paragraph(
        "Each point is a unit: for how much of the text its gate is nearly shut (below 0.1), and for how much wide "
        "open (above 0.9). At the lower left it is always in between; at the upper left always open: a forget or "
        "update gate there keeps what it has for long. After Karpathy, Johnson and Li 2015, section 4.2."
    )
    body += f'<div class="maps">{"".join(_units(name, gates) for name in dict.fromkeys(g.gate for g in gates))}</div>'
    rows = [(f"layer {g.layer}", g.gate, g.mean, *(f"{share:.0%}" for share in _mean_shares(g))) for g in gates]
    return Section(
        title="What its gates do", body=body + parts.table(("", "gate", "mean", "below 0.1", "above 0.9"), rows)
    )


def _fate(curve: LagCurve) -> tuple[str, str, str]:
    if not 0 < curve.factor < math.inf:
        return curve.name, "less than can be told", ""
    if curve.factor >= 1:
        return curve.name, f"{curve.factor:.3f}", "never"
    return curve.name, f"{curve.factor:.3f}", f"{math.log(2) / -math.log(curve.factor):,.1f} tokens"


def _sentence(layer: int, gates: Sequence[GateFacts], pieces: Sequence[str]) -> str:
    means = [[mean for mean, _, _ in gate.sentence] for gate in gates]
    told = [[f"{closed:.0%} of units below 0.1, {open:.0%} above 0.9" for _, closed, open in g.sentence] for g in gates]
    names = [gate.gate for gate in gates]
    caption = f"Layer {layer}"
    return parts.grid(means, names, pieces, label=f"Gates of layer {layer}", caption=caption, told=told)


def _units(name: str, gates: Sequence[GateFacts]) -> str:
    series = [
        (f"layer {gate.layer}", COLOURS[(gate.layer - 1) % len(COLOURS)], gate.units)
        for gate in gates
        if gate.gate == name
    ]
    return parts.points(
        series, x="nearly shut", y="wide open", label=f"Units by their {name} gate", caption=f"{name} gate"
    )


def _mean_shares(gate: GateFacts) -> tuple[float, float]:
    count = max(len(gate.units), 1)
    return sum(closed for closed, _ in gate.units) / count, sum(open for _, open in gate.units) / count
