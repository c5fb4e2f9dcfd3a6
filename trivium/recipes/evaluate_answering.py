"""How often a model answers a question about a text rightly, and how much of the right answer's words it gives."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from trivium.data.questions import Question
from trivium.evaluation import metrics
from trivium.evaluation.intervals import bootstrap, proportion
from trivium.lm.local import LocalModel
from trivium.runtime.progress import bar

_AT_ONCE = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answered:
    """One question with what was answered."""

    id: str
    """What the data calls it."""
    question: str
    """The question."""
    target: tuple[str, ...]
    """The answers that are right; none where the text does not answer."""
    answer: str
    """The model's."""
    probability: float
    """How sure it is."""
    start: int | None
    """Place of its first character in the text, where it stands there."""


def evaluate_answering(
    model: LocalModel,
    questions: Sequence[Question],
    *,
    limit: int | None = None,
    longest_answer: int = 30,
    silent: bool = True,
) -> tuple[dict[str, Any], list[Answered]]:
    """`{"task", "metrics", "intervals", "count", "settings"}` and every answer; `count` is of questions.

    Exact match and F1 of words as SQuAD has them (Rajpurkar et al. 2016, section 6.1), shares of 1, with Wilson's
    interval and that of a bootstrap, at 95 %. Where some question of the data has no answer, the model may say so.
    """
    questions = questions[:limit]
    no_answer = any(not question.answers for question in questions)
    answered: list[Answered] = []
    with bar("answering", total=len(questions), unit="questions", silent=silent) as progress:
        for start in range(0, len(questions), _AT_ONCE):
            some = questions[start : start + _AT_ONCE]
            found = model.answers(
                [(one.question, one.context) for one in some], longest_answer=longest_answer, no_answer=no_answer
            )
            answered += [
                Answered(
                    id=asked.id,
                    question=asked.question,
                    target=asked.answers,
                    answer=one.text,
                    probability=one.probability,
                    start=one.start,
                )
                for asked, one in zip(some, found, strict=True)
            ]
            progress.advance(len(some))
    figures, intervals = _figures(answered)
    settings = {"limit": limit, "longest_answer": longest_answer, "no_answer": no_answer, "confidence": 0.95}
    return {
        "task": "answering",
        "metrics": figures,
        "intervals": intervals,
        "count": len(answered),
        "settings": settings,
    }, answered


def _figures(answered: Sequence[Answered]) -> tuple[dict[str, Any], dict[str, list[float]]]:
    given = [one.answer for one in answered]
    wanted = [list(one.target) or [""] for one in answered]
    exact = metrics.exact_match(given, wanted, normalisation="squad", per_example=True)
    words = metrics.f1(given, wanted, per_example=True)
    right = int(sum(exact["per_example"]["exact_match"]))
    intervals = {"exact_match": proportion(right, len(answered))}
    if len(answered) > 1:  # of one question nothing can be drawn
        intervals["f1"] = bootstrap(words["per_example"]["f1"])
    figures = {"exact_match": exact["exact_match"], "f1": words["f1"]}
    return figures, {name: [interval.low, interval.high] for name, interval in intervals.items()}
