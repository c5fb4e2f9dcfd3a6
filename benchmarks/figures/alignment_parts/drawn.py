"""The results of benchmarks/figures/alignment.py as a page of pictures."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.reports import page, parts

_COLOURS = ("first", "second", "third", "fourth")
Series = tuple[str, str, Sequence[float], Sequence[float | None]]


def write(results: pathlib.Path, name: str, cells: Sequence[str]) -> pathlib.Path:
    """Draws the cells, which are all there; gives the page's path."""
    found = {cell: json.loads((results / f"{name}-{cell}.json").read_text(encoding="utf-8")) for cell in cells}
    path = results / f"{name}.html"
    sections = [_frontier(found), _loophole(found), _sums(found)]
    head = parts.paragraph("A policy that learns from a reward, and what its gold score says of it.", "lead")
    foot = "benchmarks/figures/alignment.py"
    page.write(page.Page(title="Alignment", head=head, sections=sections, foot=foot), path)
    return path


def _of(found: Mapping[str, Any], kind: str) -> list[tuple[str, Any]]:
    return [(cell.partition("-")[2], one) for cell, one in sorted(found.items()) if cell.startswith(kind)]


def _frontier(found: Mapping[str, Any]) -> page.Section:
    """Gold score against divergence, the policy's way beside best of n."""
    series: list[Series] = []
    for (seed, one), colour in zip(_of(found, "rlhf"), _COLOURS, strict=False):
        looks = one["looks"]
        series.append((f"PPO, seed {seed}", colour, [look["kl"] for look in looks], [look["gold"] for look in looks]))
    points = _of(found, "rlhf")[0][1]["compared"]["frontier"]
    best = ([point["kl_bound"] for point in points], [point["gold"]["estimate"] for point in points])
    series.append((f"best of 1 to {len(points)}", "fourth", *best))
    drawn = parts.lines(
        series,
        x="nats an answer is from the tuned model",
        y="gold score",
        label="Gold score by divergence",
        caption="What an answer is worth by the gold score, at every look of three policies. Best of n stands at the "
        "most that it can diverge.",
    )
    return page.Section(title="What is learnt from comparisons", body=drawn)


def _loophole(found: Mapping[str, Any]) -> page.Section:
    """The reward and the gold score of the pair, side by side."""
    drawings = ""
    for key, words in (("proxy", "reward"), ("gold", "gold score")):
        series: list[Series] = []
        for (which, one), colour in zip(_of(found, "hacking"), _COLOURS, strict=False):
            name = "without a KL penalty" if which == "free" else "with a weight of 0.5"
            steps, values = ([look[field] for look in one["looks"]] for field in ("step", key))
            series.append((name, colour, steps, values))
        drawings += parts.lines(series, x="update", y=words, label=f"{words} by update", caption=words, height=280)
    told = parts.paragraph(
        "The reward is the share of words that praise. Without a penalty the policy comes to write nothing else: the "
        "reward is full, and the gold score, which asks for likely sentences as well, falls again after thirty updates."
    )
    return page.Section(title="A loophole", body=f'{told}<div class="maps">{drawings}</div>')


def _sums(found: Mapping[str, Any]) -> page.Section:
    series: list[Series] = []
    for (seed, one), colour in zip(_of(found, "arithmetic"), _COLOURS, strict=False):
        shares = _smoothed(one["reward"])
        series.append((f"seed {seed}", colour, list(range(1, len(shares) + 1)), shares))
    drawn = parts.lines(
        series,
        x="update",
        y="share that is right",
        label="Right sums by update",
        caption="Sums of two-digit numbers that a policy gets right while GRPO learns from a verifier; the mean of ten "
        "updates. The model had learnt to add from text in which three carries in five are forgotten.",
    )
    return page.Section(title="What a verifier teaches", body=drawn)


def _smoothed(values: Sequence[float], over: int = 10) -> list[float | None]:
    """The mean of each value and those before it, ten in all."""
    return [sum(values[max(0, at + 1 - over) : at + 1]) / min(over, at + 1) for at in range(len(values))]
