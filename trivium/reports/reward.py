"""How a reward model does on pairs that were held out: right and wrong, length, and how sure it may be."""

from collections.abc import Mapping, Sequence
from typing import Any

from trivium.reports import parts
from trivium.reports.page import Section

_SHOWN_CHARACTERS = 400
_SHARES = {
    "accuracy": "pairs whose better answer has the higher score",
    "length_controlled_accuracy": "the same, where longer and shorter better answers count alike",
    "longer_wins": "what the longer answer would have",
    "words_alone": "what word counts would have",
    "good_or_bad": "answers on the right side of 0",
    "share_of_the_commoner": "what always saying the commoner would have",
}


def reward_sections(result: Mapping[str, Any], wrong: Sequence[tuple[str, str, str]]) -> list[Section]:
    """Of the result of `trivium evaluate`; ``wrong`` are (prompt, better answer, worse answer) that the model has the
    wrong way round, as far as they are to be shown."""
    figures, intervals = result["metrics"], result["intervals"]
    cards = [
        (f"{100 * figures[name]:.1f} %", words + _within(intervals.get(name)))
        for name, words in _SHARES.items()
        if name in figures
    ]
    body = parts.paragraph(f"Measured on {result['count']:,} that it was not trained on.") + parts.cards(cards)
    if "per_criterion" in figures:
        rows = [(name, 100 * own["accuracy"], own["count"]) for name, own in figures["per_criterion"].items()]
        body += parts.table(("criterion", "right, %", "pairs"), rows)
    others = [(name, value) for name, value in figures.items() if " of " in name]
    if others:
        body += parts.table(("correlation with the scores", ""), others)
    if "disagreement" in figures:
        told = f"The members of the ensemble differ by {figures['disagreement']:.2f} in the difference of two scores."
        body += parts.paragraph(f"{told} The mean difference is {figures['mean_difference']:.2f}.")
    sections = [Section(title="How often it is right", body=body)]
    if "by_length" in figures:
        sections += [_length_section(figures["by_length"]), _reliability_section(figures)]
    if wrong:
        shown = "".join(
            parts.compared(str(number), zip(("prompt", "better", "worse"), map(_cut, one), strict=True))
            for number, one in enumerate(wrong, start=1)
        )
        sections.append(Section(title="Where it is wrong", body=shown))
    return sections


def _length_section(bins: Sequence[Mapping[str, float]]) -> Section:
    places = [one["longer_by"] for one in bins]
    series = [
        ("accuracy", "first", places, [100 * one["accuracy"] for one in bins]),
        ("at 95 %, low", "muted", places, [100 * one["low"] for one in bins]),
        ("at 95 %, high", "muted", places, [100 * one["high"] for one in bins]),
    ]
    body = parts.lines(
        series,
        x="characters by which the better answer is longer",
        y="right, %",
        label="Accuracy by the difference of the lengths of the two answers",
        caption="A model that goes by length is right where the better answer is longer, and wrong at the left.",
    )
    return Section(title="What length has to do with it", body=body)


def _reliability_section(figures: Mapping[str, Any]) -> Section:
    bins = figures["reliability"]
    confidence = [one["confidence"] for one in bins]
    body = parts.lines(
        [
            ("the model", "first", confidence, [one["accuracy"] for one in bins]),
            ("as often as it is sure", "muted", [0.5, 1.0], [0.5, 1.0]),
        ],
        x="sigmoid of the difference of the scores",
        y="share that is right",
        label="Reliability: how often the model is right, by how sure it is",
        caption=f"Expected calibration error {figures['ece']:.3f}, Brier score {figures['brier']:.3f}.",
    )
    return Section(title="How sure it may be", body=body)


def _within(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f", {100 * interval[0]:.1f} to {100 * interval[1]:.1f} at 95 %"


def _cut(text: str) -> str:
    return text[:_SHOWN_CHARACTERS]
