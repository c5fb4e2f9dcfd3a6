"""How a policy learnt from a reward: whether it got better, or only better at the reward. Plain figures to sections."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.reports import parts
from trivium.reports.page import Section

_MOST_VERSIONS = 5  # of an answer side by side
_SHOWN_CHARACTERS = 600
_NATS = (0, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Where the axis of divergence may have a mark."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrontierPoint:
    """What choosing the best of `k` samples gives, with no training."""

    k: int
    """Samples chosen from."""
    kl: float
    """Divergence from the reference in nats, at most."""
    proxy: tuple[float, float, float]
    """Low end, estimate and high end of the expected reward."""
    gold: tuple[float, float, float]
    """Likewise of the gold score."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignmentFacts:
    """Everything the sections tell."""

    looks: Sequence[Mapping[str, Any]]
    """The lines of watch.jsonl, at least one."""
    frontier: Sequence[FrontierPoint] = ()
    """The best of n, from n = 1 up; empty where it was not measured."""
    parting: str = ""
    """Why reward and gold score are said to have parted; empty where they have not."""
    rolled_back_to: int | None = None
    """The step whose weights the run ended with, where that is not the last."""
    suspicions: Sequence[str] = ()
    """What looked odd at the last look."""


def alignment_sections(facts: AlignmentFacts) -> list[Section]:
    """Reward and gold score, what the reward goes with, how diverse the answers are, and the answers."""
    sections = [_scores(facts), _company(facts), _diversity(facts)]
    return [*sections, _answers(facts)] if any(look["samples"] for look in facts.looks) else sections


def _scores(facts: AlignmentFacts) -> Section:
    has_gold = any(look["gold"] is not None for look in facts.looks)
    body = "".join(parts.paragraph(words, "lead" if not place else "") for place, words in enumerate(_verdict(facts)))
    shown = [("proxy", "reward", "second"), *([("gold", "gold score", "first")] if has_gold else [])]
    against = "".join(_against_kl(facts, *one) for one in shown)
    over = "".join(_over_steps(facts, *one) for one in shown)
    body += f'<div class="maps">{against}</div>'
    if facts.frontier:
        body += parts.paragraph(
            "Dashed is the best of n samples of the model before training, chosen by the reward, with its interval at "
            f"95 % dotted, for n from 1 to {facts.frontier[-1].k}. Its divergence is an upper bound: the curve belongs "
            "where it is drawn or further left. A policy above it has learnt more than choosing gives.",
            "quiet",
        )
    body += f'<div class="maps">{over}</div>'
    return Section(title="Reward and gold score", body=body)


def _verdict(facts: AlignmentFacts) -> list[str]:
    """What the figures say, in words; the first is the main thing."""
    first, last = facts.looks[0], facts.looks[-1]
    gained = f"the reward went from {first['proxy']:.3g} to {last['proxy']:.3g}"
    steps = f"from step {first['step']:,} to step {last['step']:,}"
    if len(facts.looks) == 1:
        said = [f"There was one look at the answers, at step {first['step']:,}: a reward of {first['proxy']:.3g}."]
    elif facts.parting:
        said = [_sentence(facts.parting)]
    elif first["gold"] is None or last["gold"] is None:
        alone = "no other score was taken, and the reward does not say whether the answers got better"
        said = [_sentence(f"{steps} {gained}; {alone}")]
    else:
        gold = f"the gold score from {first['gold']:.3g} to {last['gold']:.3g}"
        said = [_sentence(f"{steps} {gained} and {gold}; they have not parted by more than noise")]
    if facts.rolled_back_to is not None:
        said.append(f"The run went back to step {facts.rolled_back_to:,}: those are the weights that it ended with.")
    if facts.suspicions:
        said.append(f"At the last look: {'; '.join(facts.suspicions)}.")
    return said


def _against_kl(facts: AlignmentFacts, name: str, words: str, colour: str) -> str:
    """The score over the root of the divergence, as Gao et al. 2023 draw it, with the best of n beside."""
    looks = [look for look in facts.looks if look[name] is not None and look["kl"] is not None]
    if not looks and not facts.frontier:
        return ""
    roots = [math.sqrt(max(look["kl"], 0.0)) for look in looks]
    data = []
    if facts.frontier:
        places = [math.sqrt(point.kl) for point in facts.frontier]
        told = [f"best of {point.k}" for point in facts.frontier]
        for at, dash in ((0, "dot"), (2, "dot"), (1, "dash")):
            values = [getattr(point, name)[at] for point in facts.frontier]
            data.append(_curve("best of n", "muted", places, values, told, dash=dash, listed=at == 1))
    data.append(_curve("policy", colour, roots, [look[name] for look in looks], _steps(looks)))
    most = max([*roots, *(math.sqrt(point.kl) for point in facts.frontier), 0.1])
    marks = _marks(most)
    axis = {
        "title": {"text": "nats a text from the reference"},
        "tickvals": [math.sqrt(nats) for nats in marks],
        "ticktext": [f"{nats:g}" for nats in marks],
        "range": [-0.03 * most, 1.05 * most],
    }
    layout = {"height": 320, "xaxis": axis, "yaxis": {"title": {"text": words}}}
    label = f"{words.capitalize()} by divergence from the reference"
    return parts.chart(data, layout, label=label, caption=f"{label}; the scale is that of its root.")


def _over_steps(facts: AlignmentFacts, name: str, words: str, colour: str) -> str:
    looks = [look for look in facts.looks if look[name] is not None]
    values = [look[name] for look in looks]
    data = [_curve(words, colour, [look["step"] for look in looks], values, _steps(looks))]
    back = facts.rolled_back_to
    if back is not None and values:
        told = f"went back to step {back:,}"
        data.insert(0, _curve(told, "muted", [back, back], [min(values), max(values)], ["", ""], dash="dot"))
    layout = {"height": 280, "xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": words}}}
    layout["showlegend"] = len(data) > 1
    return parts.chart(data, layout, label=f"{words.capitalize()} by step", caption=f"{words.capitalize()} by step.")


def _company(facts: AlignmentFacts) -> Section:
    """What may earn a reward without a better answer: length and repetition."""
    lead = "A reward that goes with the length of an answer, or with its repeating itself, can be earned by just that."
    lengths = parts.lines(
        [("tokens an answer", "third", *_column(facts, "length_tokens"))],
        x="step",
        y="tokens",
        label="Length of the answers by step",
        caption="Mean length of an answer, in tokens.",
        height=260,
    )
    shown = (("length", "length_correlation", "third"), ("repetition", "repetition_correlation", "fourth"))
    curves = [(words, colour, *_column(facts, name)) for words, name, colour in shown]
    drawn = [curve for curve in curves if curve[2]]
    correlations = (
        ""
        if not drawn
        else parts.lines(
            drawn,
            x="step",
            y="rank correlation",
            label="Rank correlation of the reward with length and with repetition, by step",
            caption="Rank correlation of the reward with the length of an answer, and with the share of pairs of words "
            "that stood in it before: 1 is in step, 0 is none.",
            height=260,
        )
    )
    return Section(
        title="What the reward goes with",
        body=parts.paragraph(lead) + f'<div class="maps">{lengths}{correlations}</div>',
    )


def _diversity(facts: AlignmentFacts) -> Section:
    shown = (
        ("different answers", "unique", "first"),
        ("different pairs of words", "distinct2", "third"),
        ("likeness (Self-BLEU)", "self_similarity", "second"),
        ("come to their end", "ended", "fourth"),
    )
    curves = [(words, colour, *_column(facts, name)) for words, name, colour in shown]
    body = parts.lines(
        [curve for curve in curves if curve[2]],
        x="step",
        y="share",
        label="Diversity of the answers by step",
        caption="Of the answers of one look: the share that are different, of their pairs of words the share that are, "
        "how alike they are, and the share that come to their end.",
    )
    return Section(title="How diverse the answers are", body=body)


def _answers(facts: AlignmentFacts) -> Section:
    """The same prompts, answered at several steps."""
    chosen = _spread(facts)
    body = ""
    for place, sample in enumerate(chosen[0]["samples"]):
        versions = [
            (_scored(look, look["samples"][place]), look["samples"][place]["answer"][:_SHOWN_CHARACTERS])
            for look in chosen
        ]
        body += parts.compared(sample["prompt"][:_SHOWN_CHARACTERS], versions)
    return Section(title="Answers over time", body=body)


def _spread(facts: AlignmentFacts) -> list[Mapping[str, Any]]:
    """Some looks with samples, evenly taken, the first, the last and the one that was gone back to among them."""
    looks = [look for look in facts.looks if look["samples"]]
    count = min(_MOST_VERSIONS, len(looks))
    places = {round(at * (len(looks) - 1) / max(count - 1, 1)) for at in range(count)}
    places |= {place for place, look in enumerate(looks) if look["step"] == facts.rolled_back_to}
    return [looks[place] for place in sorted(places)]


def _scored(look: Mapping[str, Any], sample: Mapping[str, Any]) -> str:
    scores = [("reward", sample["proxy"]), ("gold", sample["gold"])]
    told = ", ".join(f"{name} {value:.2f}" for name, value in scores if value is not None)
    return f"step {look['step']:,}: {told}" if told else f"step {look['step']:,}"


def _column(facts: AlignmentFacts, name: str) -> tuple[list[float], list[float]]:
    """The steps at which there is a value, and the values."""
    found = [(look["step"], look[name]) for look in facts.looks if look[name] is not None]
    return [step for step, _ in found], [value for _, value in found]


def _steps(looks: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"step {look['step']:,}" for look in looks]


def _marks(most: float) -> list[float]:
    """Divergences to mark, up to the root `most`, none so near another that their words would touch."""
    kept: list[float] = []
    for nats in (nats for nats in _NATS if math.sqrt(nats) <= 1.05 * most):
        if not kept or math.sqrt(nats) - math.sqrt(kept[-1]) >= 0.08 * most:
            kept.append(nats)
    return kept


def _curve(
    name: str,
    colour: str,
    xs: Sequence[float],
    ys: Sequence[float],
    told: Sequence[str],
    *,
    dash: str = "solid",
    listed: bool = True,
) -> dict[str, Any]:
    """A trace that says at each point what it is; `listed` in the legend."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if dash == "solid" else "lines",
        "name": name,
        "showlegend": listed,
        "x": list(xs),
        "y": list(ys),
        "text": list(told),
        "line": {"color": colour, "width": 1 if dash == "dot" else 2.2, "dash": dash},
        "marker": {"color": colour, "size": 6},
        "hovertemplate": "%{text}: %{y:.4g}<extra></extra>",
        "hoverinfo": "skip" if not listed else "all",
    }


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
