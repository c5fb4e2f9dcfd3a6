"""How well raters agree, where what they say goes in a circle, and what they said as preference data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from trivium.checkpoints.folder import replace_file
from trivium.data.preferences import Judged, contradictions, ranks_by_score
from trivium.errors import DataError
from trivium.evaluation.metrics import krippendorff_alpha
from trivium.recipes.align.label import RATERS, Task, read_task, require_apart, said_by_raters
from trivium.recipes.align.label_sheet import Said


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well the raters agree by one criterion."""

    alpha: float | None
    """Krippendorff's, of the ranks as ordinal data; None where no two raters ranked the same, or all tied."""
    pairwise: float | None
    """Of every two answers and two raters who ranked both, the share where both say the same: better, worse or equal.
    Between the labellers of InstructGPT it was 0.73 (Ouyang et al. 2022, section 3.4). None where there are none."""
    comparisons: int
    """How many such cases there are."""
    ranked: int
    """Prompts that somebody ranked."""


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """What the raters of a folder have said so far."""

    items: int
    """Prompts that are asked."""
    raters: dict[str, dict[str, int]]
    """Rater -> how many questions were "answered", "skipped" and are "left"."""
    criteria: dict[str, Agreement]
    """Criterion -> how well they agree."""
    opposed: int
    """Answers to one prompt of which one rater says a over b and another b over a, by one criterion."""
    circles: list[str]
    """Where most say a over b, b over c and c over a, with the beginnings of the answers."""

    @property
    def told(self) -> str:
        """For people, a line for each thing."""
        lines = [
            f"{name}: {counts['answered']:,} answered, {counts['skipped']:,} skipped, {counts['left']:,} left"
            for name, counts in self.raters.items()
        ]
        for name, found in self.criteria.items():
            figures = [
                f"{label} {value:.3f}"
                for label, value in (("Krippendorff's alpha", found.alpha), ("pairwise agreement", found.pairwise))
                if value is not None
            ]
            told = ", ".join(figures) if figures else "no two raters ranked the same"
            lines.append(f"{name}: {told} ({found.comparisons:,} comparisons, {found.ranked:,} prompts)")
        if self.opposed:
            lines.append(
                f"raters say the opposite of {self.opposed:,} {'pair' if self.opposed == 1 else 'pairs'} of answers"
            )
        return "\n".join([*lines, *(f"in a circle: {circle}" for circle in self.circles)])


def report(folder: Path) -> LabelReport:
    """What the raters of ``folder`` have said, and how well they agree.

    Raises:
        DataError: no such folder, or a damaged one.
        Unsupported: two raters are to be compared, and `krippendorff` is not installed.
    """
    task = read_task(folder)
    said = said_by_raters(folder, task)
    found = contradictions(_judged(task, said))
    return LabelReport(
        items=len(task.items),
        raters={name: _counts(task, each) for name, each in said.items()},
        criteria={criterion: _agreement(task, said, criterion) for criterion in task.criteria},
        opposed=sum(len(each.answers) == 2 for each in found),
        circles=[each.told for each in found if len(each.answers) > 2],
    )


def export(folder: Path, file: Path) -> int:
    """Writes what the raters of ``folder`` said as preference data, a line for each prompt that was ranked: "ranks" are
    those of the mean rank over raters, where equal ranks share the mean of their places (which orders as Borda's
    count does), "rater" names them, and "by_rater" holds what each said. Returns how many lines.

    Raises:
        ConfigError: the file is one of those that hold what a rater said.
        DataError: no such folder, a damaged one, or nobody has ranked anything.
        StorageError: the file cannot be written.
    """
    require_apart(file, [folder / RATERS])
    task = read_task(folder)
    said = said_by_raters(folder, task)
    lines = [line for at in range(len(task.items)) if (line := _line(task, said, at)) is not None]
    if not lines:
        raise DataError("nobody has ranked anything", received=folder, fix="give --rater NAME to begin")
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    replace_file(file, text.encode(errors="backslashreplace"))
    return len(lines)


def mean_ranks(rankings: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The ranks of the mean rank of each answer; equal ranks count as the mean of the places that they take."""
    # Twice the mean of the places is a whole number: sums of them are exact.
    twice = [sum(2 * ranks[at] + ranks.count(ranks[at]) - 1 for ranks in rankings) for at in range(len(rankings[0]))]
    return ranks_by_score([-total for total in twice])


def _line(task: Task, said: Mapping[str, Said], at: int) -> dict[str, Any] | None:
    by_rater = {name: ranks for name, each in said.items() if (ranks := _ranks(task, each, at))}
    if not by_rater:
        return None
    criteria = [name for name in task.criteria if any(name in ranks for ranks in by_rater.values())]
    return {
        "messages": list(task.items[at].messages),
        "answers": list(task.items[at].answers),
        "ranks": {name: mean_ranks([ranks[name] for ranks in by_rater.values() if name in ranks]) for name in criteria},
        "rater": ", ".join(by_rater),
        "by_rater": by_rater,
    }


def _ranks(task: Task, said: Said, at: int) -> dict[str, tuple[int, ...]]:
    """Criterion -> what a rater said of one item; what was skipped is not there."""
    found = {name: said.get((at, name)) for name in task.criteria}
    return {name: ranks for name, ranks in found.items() if ranks is not None}


def _judged(task: Task, said: Mapping[str, Said]) -> list[Judged]:
    return [
        Judged(
            messages=item.messages,
            answers=item.answers,
            ranks=ranks,
            rater=name,
            where=f"{name}, prompt {at + 1}",
        )
        for name, each in said.items()
        for at, item in enumerate(task.items)
        if (ranks := _ranks(task, each, at))
    ]


def _counts(task: Task, said: Said) -> dict[str, int]:
    answered = sum(ranks is not None for ranks in said.values())
    left = len(task.items) * len(task.criteria) - len(said)
    return {"answered": answered, "skipped": len(said) - answered, "left": left}


def _agreement(task: Task, said: Mapping[str, Said], criterion: str) -> Agreement:
    ranks = [[each.get((at, criterion)) for at in range(len(task.items))] for each in said.values()]
    same = [
        _order(one, a, b) == _order(other, a, b)
        for at, item in enumerate(task.items)
        for one, other in combinations([rater[at] for rater in ranks], 2)
        if one is not None and other is not None
        for a, b in combinations(range(len(item.answers)), 2)
    ]
    return Agreement(
        alpha=_alpha(task, ranks) if same else None,
        pairwise=sum(same) / len(same) if same else None,
        comparisons=len(same),
        ranked=sum(any(rater[at] is not None for rater in ranks) for at in range(len(task.items))),
    )


def _order(ranks: Sequence[int], a: int, b: int) -> int:
    """-1, 0 or 1: a is better, neither, b is better."""
    return (ranks[a] > ranks[b]) - (ranks[a] < ranks[b])


def _alpha(task: Task, ranks: Sequence[Sequence[tuple[int, ...] | None]]) -> float | None:
    """Of every answer to every prompt as a unit, and its ranks as ratings."""
    sizes = [len(item.answers) for item in task.items]
    ratings = [
        [rank for said, size in zip(rater, sizes, strict=True) for rank in (said or [None] * size)] for rater in ranks
    ]
    shared = {rank for unit in zip(*ratings, strict=True) if sum(r is not None for r in unit) > 1 for rank in unit}
    if len(shared - {None}) < 2:
        return None
    return krippendorff_alpha(ratings, level="ordinal")["alpha"]
