"""How a game of generator and discriminator went, step by step, and what it wrote. Plain figures in."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.reports import parts
from trivium.reports.page import Section

_SHOWN = {
    "validation_loss": ("negative log-likelihood of held-out text, nats a token", "first"),
    "reward": ("mean reward of a token", "second"),
    "reward_deviation": ("standard deviation of the rewards", "third"),
    "weight": ("mean weight of a text", "third"),
    "discriminator_correct": ("share of texts that the discriminator tells rightly", "fourth"),
    "discriminator_waits": ("share of steps in which the discriminator waits", "third"),
    "unique": ("share of different texts among those that were written", "first"),
    "loss": ("what the generator is to make small", "second"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class GameFacts:
    """Everything the sections tell."""

    metrics: Sequence[Mapping[str, Any]]
    """The lines of metrics.jsonl, of the game alone."""
    started_at: float
    """Negative log-likelihood of held-out text where the game began."""
    unique_at_start: float
    """Share of different texts among as many as a step writes, where the game began."""
    written: Sequence[tuple[str, str]]
    """Texts side by side: of the start, and of the end."""
    real: Sequence[str]
    """Held-out texts, as many."""


def game_sections(facts: GameFacts) -> list[Section]:
    """The course of the game, and what was written before and after."""
    drawings = "".join(_drawing(facts, name) for name in _SHOWN if any(name in row for row in facts.metrics))
    told = "Over the steps of the game; where the game began is at step 0."
    course = Section(title="The game", body=parts.paragraph(told) + f'<div class="maps">{drawings}</div>')
    if not facts.written:
        return [course]
    rows = [
        parts.compared(str(number), (("real", real), ("before the game", before), ("after it", after)))
        for number, (real, (before, after)) in enumerate(zip(facts.real, facts.written, strict=False), start=1)
    ]
    return [course, Section(title="What it writes", body="".join(rows))]


def _drawing(facts: GameFacts, name: str) -> str:
    words, colour = _SHOWN[name]
    found = [(row["step"], row[name]) for row in facts.metrics if row.get(name) is not None]
    begun = {"validation_loss": facts.started_at, "unique": facts.unique_at_start}
    if name in begun:
        found.insert(0, (0, begun[name]))
    steps, values = [step for step, _ in found], [value for _, value in found]
    if not found:
        return ""
    return parts.lines(
        [(words, colour, steps, values)], x="step", y="", label=f"{words} by step", caption=words, height=230
    )
