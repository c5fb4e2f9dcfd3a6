"""Questions about a text, whose answers are stretches of it, as SQuAD has them; and the rows that they are learnt from.

questions = read_questions(Path("train.json"))
rows = windows(tokenizer, questions, longest=384, stride=128)

{"data": [{"paragraphs": [{"context": "...", "qas": [{"question": "...", "answers": [{"text": "...",
"answer_start": 34}]}]}]}]}. A question without answers, or with "is_impossible", is one that its text does not answer
(Rajpurkar et al. 2018, "Know What You Don't Know").
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trivium.data.context_windows import context_of, context_windows
from trivium.data.documents import read_text
from trivium.errors import DataError
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined

_FORM = '{"data": [{"paragraphs": [{"context": ..., "qas": [{"question": ..., "answers": [...]}]}]}]}'
_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question."""

    question: str
    context: str
    """The text that answers it, or does not."""
    answers: tuple[str, ...]
    """What people answered, as it stands in the context; () where the context does not answer."""
    starts: tuple[int, ...]
    """The character of the context that each answer begins with."""
    id: str = ""
    """What the data calls it; empty where it has no name."""
    where: str = field(default="", compare=False)
    """The file, and the question's id or number in it, for messages."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A question with as much of its context as a row has room for."""

    ids: list[int]
    types: list[int]
    """The token type of each id."""
    first: int
    """Position of the first token of the answer; that of [CLS] where no answer lies whole in this window."""
    last: int
    """Position of the answer's last token."""


def read_questions(path: Path, *, encoding: str = "utf-8", answered: bool = True) -> list[Question]:
    """The questions of a file in the order in which they stand there; where they are not ``answered``, without looking
    for answers.

    Raises:
        DataError: another form, an answer that does not stand where it is said to, no question.
    """
    text = read_text(path, encoding)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError("the file is not JSON", received=f"{path}: {error}"[:200], expected=_FORM) from error
    found = list(_questions(content, str(path), answered))
    if not found:
        raise DataError("there are no questions", received=path, expected=_FORM)
    return found


def _questions(content: Any, path: str, answered: bool) -> Iterator[Question]:
    number = 0
    for article in _list(content, "data", path):
        for paragraph in _list(article, "paragraphs", path):
            for asked in _list(paragraph, "qas", path):
                number += 1
                if not isinstance(asked, dict):
                    raise DataError(
                        "a question is no JSON object", received=f"{path}, question {number}", expected=_FORM
                    )
                named = str(asked.get("id", ""))
                where = f"{path}, question {named or number}"
                given = answered and asked.get("is_impossible") is not True
                yield _question(paragraph, asked, _list(asked, "answers", where) if given else [], named, where)


def _question(paragraph: Any, asked: Mapping[str, Any], answers: list[Any], id: str, where: str) -> Question:
    context, question = _text(paragraph, "context", where), _text(asked, "question", where)
    given = []
    for answer in answers:
        text, start = _text(answer, "text", where), answer.get("answer_start")
        if type(start) is not int or start < 0 or context[start : start + len(text)] != text:
            raise DataError(
                "an answer does not stand where it is said to",
                received=f"{where}: {text[:_SHOWN]!r} at character {start}",
                fix="correct answer_start, which counts characters, or remove the question",
            )
        given.append((text, start))
    return Question(
        question=question,
        context=context,
        answers=tuple(text for text, _ in given),
        starts=tuple(start for _, start in given),
        id=id,
        where=where,
    )


def _list(holder: Any, name: str, where: str) -> list[Any]:
    found = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(found, list):
        raise DataError(f"there is no list `{name}`", received=where, expected=_FORM)
    return found


def _text(holder: Any, name: str, where: str) -> str:
    found = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(found, str) or not found.strip():
        raise DataError(f"there is no text `{name}`", received=where, expected=_FORM)
    return found


# Rows ----------------------------------------------------------------------------------------------------------------


def windows(tokenizer: Tokenizer, questions: Sequence[Question], *, longest: int, stride: int) -> list[Window]:
    """The rows that ``questions`` are learnt from: each with its context in one or several overlapping windows.

    Args:
        tokenizer: joins a question with its context.
        questions: of each the first answer is learnt.
        longest: tokens of a row. A question that would leave less than half of them is cut.
        stride: tokens from the beginning of one window to that of the next (Devlin et al. 2018, the code published
            with it); never more than half of what there is room for.

    Raises:
        DataError: nothing would fit into so short a row, or a context has no tokens.
    """
    rows = tokenizer.encode_joined([(one.question, one.context) for one in questions], offsets=True)
    return [
        window
        for question, row in zip(questions, rows, strict=True)
        for window in _windows(question, row, longest, stride, tokenizer.cls_id)
    ]


def _windows(question: Question, row: Joined, longest: int, stride: int, cls_id: int | None) -> Iterator[Window]:
    context = context_of(row)
    special = sum(side is None for side in row.sides)
    if not context or longest < 2 * (special + 1):
        raise DataError(
            "no text fits beside the question",
            received=f"{question.where}: {len(context)} tokens of text, rows of {longest}",
            expected=f"some text, and rows of at least {2 * (special + 1)} tokens",
        )
    span = _tokens_of_answer(question, row.offsets[context.start : context.stop])
    most = max(0, longest // 2 - special)  # of a question, which leaves half of the row
    settings: dict[str, Any] = {"longest": longest, "stride": stride, "cls_id": cls_id, "question_tokens": most}
    for window in context_windows(row, context, **settings):
        first = last = window.none
        if span is not None and window.first <= span[0] and span[1] < window.first + window.size:
            first, last = (window.before + place - window.first for place in span)
        yield Window(ids=window.row.ids, types=window.row.types, first=first, last=last)


def _tokens_of_answer(question: Question, offsets: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The first and the last token of the context that have a character of the first answer; None without one."""
    if not question.answers:
        return None
    start = question.starts[0]
    end = start + len(question.answers[0])
    touched = [place for place, (begins, ends) in enumerate(offsets) if begins < end and ends > start]
    return (touched[0], touched[-1]) if touched else None
