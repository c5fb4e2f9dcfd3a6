"""Pairs of answers judged by principles: preferences with soft labels, without a human label (section 4.1)."""

from collections.abc import Iterator, Sequence
from typing import Any

from trivium.recipes.align.constitution.journal import Row
from trivium.recipes.align.constitution.judge import Judge, Opinion, Question
from trivium.recipes.align.constitution.principles import Constitution, Principle
from trivium.recipes.align.constitution.revise import Messages
from trivium.recipes.align.constitution.settling import settle

PREFERENCE_DATA, JUDGED = "preference-data", "judged"
"""Folder of what a model is then trained on, and the file in it that the judge has filled."""
IDENTICAL, EMPTY = "both answers are the same", "an answer is empty"

Pair = tuple[int, Messages, tuple[str, str]]
"""The number of a prompt, the prompt, and two answers to it."""


def judged(
    judge: Judge, constitution: Constitution, pairs: Sequence[Pair], *, principles: int, seed: int, what: str
) -> list[Row]:
    """A line for each pair: the principles that were drawn for it, what the judge says by each, and what is held of it.

    `what` names the comparison, so that another one of the same prompts draws anew.
    """
    drawn = [
        [] if _unusable(answers) else constitution.drawn(principles, seed, "judge", what, number)
        for number, _, answers in pairs
    ]
    questions = [
        Question(key=(what, number, principle.name), messages=messages, answers=answers, principle=principle)
        for (number, messages, answers), some in zip(pairs, drawn, strict=True)
        for principle in some
    ]
    opinions = iter(judge(questions))
    rows = []
    for (_, messages, answers), some in zip(pairs, drawn, strict=True):
        row: Row = {"messages": list(messages), "answers": list(answers)}
        found = [(principle, next(opinions)) for principle in some]
        reason = _unusable(answers)
        settled = {"probability": None, "conflict": None, "left_out": reason} if reason else settle(found).told()
        rows.append(row | {"judged": [_told(*each) for each in found]} | settled)
    return rows


def preferences(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Of the lines of `judged`, those with a preference, as preference data: the likelier answer is the chosen one, and
    `probability` how likely it is to be better, from 0.5 on."""
    for row in rows:
        p = row["probability"]
        if p is None:
            continue
        first, second = (answer.strip() for answer in row["answers"])
        chosen, rejected = (first, second) if p >= 0.5 else (second, first)
        yield {
            "prompt": row["messages"],
            "chosen": chosen,
            "rejected": rejected,
            "probability": max(p, 1 - p),
        }


def _unusable(answers: tuple[str, str]) -> str | None:
    """Why two answers are not worth judging."""
    first, second = (answer.strip() for answer in answers)
    return EMPTY if not first or not second else IDENTICAL if first == second else None


def _told(principle: Principle, opinion: Opinion) -> dict[str, Any]:
    return {
        "principle": principle.name,
        "priority": principle.priority,
        "orders": list(opinion.orders),
        "asked_again": opinion.asked_again,
        "too_long": opinion.too_long,
    }
