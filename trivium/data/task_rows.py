"""The rows of a task's data as its templates read them: tables, tagged text, parallel text, questions on texts.

rows = read_task_rows("sentiment", Path("reviews.csv"), columns={"text": "review", "label": "stars"})
rows = read_task_rows("translation", Path("train.de"), target=Path("train.en"), languages=("German", "English"))
rows[0].fields                      # {"source": ..., "target": ..., "source_language": "German", ...}
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trivium.config import did_you_mean
from trivium.data.conll import TaggedSentence, read_conll
from trivium.data.parallel import is_pair_file, read_parallel
from trivium.data.questions import Question, read_questions
from trivium.data.rows import Row, is_of_rows, read_rows
from trivium.data.spans import Scheme, spans
from trivium.errors import ConfigError, DataError
from trivium.templates.phrasing import Task

UNANSWERED = "The text does not say."
"""The answer to a question that its text does not answer (SQuAD 2.0)."""

_COLUMNS: dict[Task, tuple[str, ...]] = {
    "sentiment": ("text", "label"),
    "summarisation": ("text", "summary"),
    "translation": ("source", "target"),
    "question_answering": ("context", "question", "answer"),
    "paraphrase": ("sentence1", "sentence2", "label"),
    "entailment": ("premise", "hypothesis", "label"),
    "completion": ("beginning", "ending"),
}
"""What is read of a table. What stands first is what rows belong together by."""
_LABEL, _GROUP = "label", "group"


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """One row."""

    fields: Mapping[str, Any]
    """What its templates read: texts, or lists of {"name", "type"} for entities."""
    group: str
    """What it is held out with: rows about one text share it."""
    label: str | None = None
    """Its class, as its templates write it."""
    where: str = field(default="", compare=False)
    """The file, and the line or item in it, for messages."""


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """All rows of a task."""

    rows: Sequence[TaskRow]
    """At least one."""
    options: tuple[str, ...] = ()
    """The answers that there are, sorted: labels, or types of entities; () where any text may be answered."""


def read_task_rows(
    task: Task,
    path: Path,
    *,
    target: Path | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    languages: tuple[str, str] | None = None,
) -> TaskData:
    """The rows of a task.

    Args:
        task: what the data is of.
        path: a table (.csv, .tsv, .jsonl, .json, .parquet; for "question_answering" a .json as SQuAD has it too); for
            "entities" a CoNLL file; for "translation" also the sources, a line each, or .tsv and .jsonl of pairs.
        target: for "translation" the file of the translations, line by line.
        columns: which columns of a table are which of the task's fields; those with our names need not be named.
            "group" may be named too: rows of one group are held out together.
        labels: what labels are called in the templates, as {"0": "negative", "1": "positive"}.
        languages: for "translation": from, to, as people name them.

    Raises:
        ConfigError: settings that are not of this task.
        DataError: what cannot be read, with its line.
    """
    _check_settings(task, columns, labels, target, languages)
    if task == "entities":
        return _of_tagged(path)
    if task == "translation":
        assert languages is not None, "refused before"
        return _of_translations(path, target, columns, languages)
    if task == "question_answering" and not columns and _is_squad(path):
        return TaskData(rows=[_of_question(question) for question in read_questions(path)])
    rows = _of_table(task, path, columns or {}, labels)
    options = tuple(sorted({row.label for row in rows if row.label is not None}))
    return TaskData(rows=rows, options=options)


def _of_table(task: Task, path: Path, columns: Mapping[str, str], labels: Mapping[str, str] | None) -> list[TaskRow]:
    rows = [_of_row(row, task, columns, labels) for row in read_rows(path)]
    if not rows:
        raise DataError("there are no rows", received=path, expected=", ".join(_COLUMNS[task]))
    return rows


def _of_row(row: Row, task: Task, columns: Mapping[str, str], labels: Mapping[str, str] | None) -> TaskRow:
    fields: dict[str, Any] = {}
    for name in _COLUMNS[task]:
        theirs = columns.get(name, name)
        if name == _LABEL:
            fields[name] = _label(row, theirs, labels)
        else:
            fields[name] = row.text(theirs, setting="columns")
    group = row.word(columns[_GROUP], setting="columns") if _GROUP in columns else fields[_COLUMNS[task][0]]
    return TaskRow(fields=fields, group=_digest(task, group), label=fields.get(_LABEL), where=row.place)


def _label(row: Row, column: str, labels: Mapping[str, str] | None) -> str:
    label = row.word(column, setting="columns")
    if labels is None:
        return label
    if label not in labels:
        raise DataError(
            "a label has no name",
            received=f"{row.place}: {label!r}",
            expected=", ".join(labels),
            fix=f"add {label}=... to labels",
        )
    return labels[label]


def _of_translations(
    path: Path, target: Path | None, columns: Mapping[str, str] | None, languages: tuple[str, str]
) -> TaskData:
    if target is None and (columns or not is_pair_file(path)) and is_of_rows(path):
        rows = _of_table("translation", path, columns or {}, None)
        pairs = [((row.fields["source"], row.fields["target"]), row.where) for row in rows]
    else:
        found = read_parallel(path, target)
        pairs = [(pair, f"{path}, pair {number}") for number, pair in enumerate(found, start=1)]
    named = {"source_language": languages[0], "target_language": languages[1]}
    return TaskData(
        rows=[
            TaskRow(fields={"source": a, "target": b, **named}, group=_digest("translation", a), where=where)
            for (a, b), where in pairs
        ]
    )


def _of_tagged(path: Path) -> TaskData:
    file = read_conll(path)
    if file.scheme is None:
        raise DataError("the tags mark no entities", received=path, expected="O, B-TYPE, I-TYPE (and E-TYPE, S-TYPE)")
    rows = [_of_sentence(sentence, file.scheme, path) for sentence in file.sentences]
    types = tuple(sorted({entity["type"] for row in rows for entity in row.fields["entities"]}))
    return TaskData(rows=rows, options=types)


def _of_sentence(sentence: TaggedSentence, scheme: Scheme, path: Path) -> TaskRow:
    text = " ".join(sentence.words)
    entities = [
        {"name": " ".join(sentence.words[begin:end]), "type": kind}
        for kind, begin, end in spans(sentence.tags, scheme=scheme)
    ]
    where = f"{path}, line {sentence.line}"
    return TaskRow(fields={"text": text, "entities": entities}, group=_digest("entities", text), where=where)


def _of_question(question: Question) -> TaskRow:
    answer = question.answers[0] if question.answers else UNANSWERED
    fields = {"context": question.context, "question": question.question, "answer": answer}
    return TaskRow(fields=fields, group=_digest("question_answering", question.context), where=question.where)


def _is_squad(path: Path) -> bool:
    """Whether a .json file holds one object, as SQuAD's do, and no list of records."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def _digest(task: str, text: str) -> str:
    """A short name for what rows have in common; the text itself may be a page."""
    content = text.strip().encode("utf-8", "surrogatepass")
    return f"{task}-{hashlib.blake2b(content, digest_size=8).hexdigest()}"


def _check_settings(
    task: Task,
    columns: Mapping[str, str] | None,
    labels: Mapping[str, str] | None,
    target: Path | None,
    languages: tuple[str, str] | None,
) -> None:
    known = (*_COLUMNS.get(task, ()), _GROUP)
    for name in columns or ():
        if task == "entities" or name not in known:
            raise ConfigError(
                f"a column is named for what {task} does not read",
                received=f"columns {name}",
                expected="a CoNLL file, which has no names" if task == "entities" else ", ".join(known),
                fix=did_you_mean(name, known),
            )
    if labels and _LABEL not in known:
        raise ConfigError(f"{task} has no labels", received=", ".join(labels), fix="leave labels out")
    if task != "translation" and (target is not None or languages is not None):
        raise ConfigError(
            "a second file and languages are for translations",
            received=f"task {task}",
            fix="leave target and languages out",
        )
    if task == "translation" and languages is None:
        raise ConfigError(
            "the languages of a translation are not named", expected="two names", fix="set languages German English"
        )
