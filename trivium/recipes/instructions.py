"""A task's data put into words: many phrasings of each row, ready to tune on and to be mixed with other tasks.

    made = instructions(InstructionsConfig(sources=(Path("reviews.csv"),), task="sentiment", output=Path("examples")))
    finetune(FinetuneConfig(model=..., data=made.folder / "train", validation=made.folder / "validation"))

    examples/train/reviews.jsonl                what is trained on
    examples/validation/reviews.jsonl           rows that are held out, in phrasings that are trained on
    examples/unseen_phrasings/reviews.jsonl     the same rows in phrasings that are not, where any are held out
    examples/reviews.json                       how they were made, and from what

Several tasks go into one folder, one after the other. See `trivium.templates.phrasing` for where the templates come
from and `trivium.data.instructions` for what is left to chance.
"""

import dataclasses
import json
import pathlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from trivium import config as configuration
from trivium.data.columns import columns_of
from trivium.data.instructions import (
    InstructionExample,
    InstructionStyle,
    hold_out_templates,
    phrased,
    usable_templates,
)
from trivium.data.provenance import content_sha256
from trivium.data.splits import is_held_out
from trivium.data.task_rows import TaskData, TaskRow, read_task_rows
from trivium.errors import ConfigError, DataError, StorageError
from trivium.runtime import atomic
from trivium.templates.phrasing import Phrasing, Phrasings, Task, own_phrasings, task_phrasings

TRAIN, VALIDATION, UNSEEN = "train", "validation", "unseen_phrasings"
"""The folders of a finished preparation."""
_NAME = re.compile(r"[\w-]+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstructionsConfig:
    """Puts a task's data into words: every row becomes a question and its answer, in many phrasings, to tune on."""

    task: Task
    """What the data is of."""
    sources: tuple[pathlib.Path, ...]
    """A table, a CoNLL file for entities, a file in the form of SQuAD for questions; for translation two parallel
    files, or one of pairs."""
    output: pathlib.Path = pathlib.Path("examples")
    """Folder to write to; several tasks may share it."""
    name: str | None = None
    """What the task is called in the examples and in a mixture; null for the name of `task`."""
    columns: tuple[str, ...] = ()
    """Columns of a table by name, ours=theirs: text=review,label=stars; those with our names need not be named."""
    labels: tuple[str, ...] = ()
    """What labels are called in words, theirs=word: 0=negative,1=positive."""
    source_language: str | None = None
    """Of translations, as people name it: German."""
    target_language: str | None = None
    """Of translations, as people name it: English."""
    templates: pathlib.Path | None = None
    """A YAML file of templates of your own, in the form of those in trivium/templates/tasks; null for ours."""
    style: InstructionStyle = dataclasses.field(default_factory=InstructionStyle)
    """How rows are put into words."""
    held_out: float = 0.05
    """The share of the rows to measure on; rows about one text stay on one side."""
    held_out_templates: int = 0
    """So many phrasings are never trained on, but measured on: how well unseen ones are understood."""
    seed: int = 0
    """Decides which row gets which phrasing, layout and worked examples."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ConfigError("a share of the rows lies between 0 and 1", received=f"held_out {self.held_out:g}")
        if not 1 <= len(self.sources) <= (2 if self.task == "translation" else 1):
            raise ConfigError(
                "a task is made of one file, and a translation of one or two",
                received=f"{self.task}: {', '.join(map(str, self.sources)) or 'none'}",
                fix="give one file at a time; several tasks may share an output",
            )
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ConfigError(
                "a task cannot be called that", received=self.name, expected="letters, figures, - and _ alone"
            )
        if (self.source_language is None) != (self.target_language is None):
            raise ConfigError("one language is named and the other is not", fix="name both, or neither")
        if self.held_out_templates and self.held_out == 0:
            raise ConfigError(
                "phrasings are held out and no rows to measure them on",
                received=f"held_out_templates {self.held_out_templates}, held_out 0",
                fix="hold out some rows too",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instructed:
    """What was made."""

    folder: pathlib.Path
    """Of all parts."""
    facts: dict[str, Any]
    """Examples by part, template, label and number of worked examples, the settings, and a hash of each source."""


def instructions(config: InstructionsConfig) -> Instructed:
    """Carries out ``config``.

    Raises:
        ConfigError: settings that do not belong together, or a template that reads what rows do not have.
        DataError: rows that cannot be read, or that a template fails on, with their line; or none to train on.
        StorageError: the examples are there already, or the folder cannot be written.
    """
    name = config.name or config.task
    _require_free(config.output, name)
    data = _read(config)
    usable = usable_templates(_phrasings(config, data).templates, config.style)
    templates, unseen = hold_out_templates(usable, config.held_out_templates, seed=config.seed)
    training, held_out = _split(data.rows, config.held_out)

    def examples(rows: Sequence[TaskRow], phrasings: Sequence[Phrasing]) -> Iterator[InstructionExample]:
        return phrased(data, phrasings, config.style, task=name, rows=rows, shown=training, seed=config.seed)

    parts = {TRAIN: list(examples(training, templates)), VALIDATION: list(examples(held_out, templates))}
    if unseen:
        parts[UNSEEN] = list(examples(held_out, unseen))
    facts = {
        "name": name,
        "parts": {part: _counts(made) for part, made in parts.items()},
        "held_out_templates": [template.name for template in unseen],
        "settings": configuration.to_dict(config),
        "sources": {str(path): content_sha256(path) for path in config.sources},
    }
    for part, made in parts.items():
        if made:
            lines = [json.dumps(_line(example), ensure_ascii=False) for example in made]
            _write(config.output / part / f"{name}.jsonl", "\n".join(lines) + "\n")
    _write(config.output / f"{name}.json", json.dumps(facts, ensure_ascii=False, indent=2) + "\n")
    return Instructed(folder=config.output, facts=facts)


def _read(config: InstructionsConfig) -> TaskData:
    languages = None
    if config.source_language is not None and config.target_language is not None:
        languages = (config.source_language, config.target_language)
    return read_task_rows(
        config.task,
        config.sources[0],
        target=config.sources[1] if len(config.sources) == 2 else None,
        columns=columns_of(config.columns) or None,
        labels=columns_of(config.labels, setting="labels") or None,
        languages=languages,
    )


def _phrasings(config: InstructionsConfig, data: TaskData) -> Phrasings:
    if config.templates is None:
        return task_phrasings(config.task)
    own = own_phrasings(config.templates)
    missing = [name for name in own.fields if name not in data.rows[0].fields]
    if missing:
        raise ConfigError(
            "the templates are for other rows than these",
            received=f"{config.templates}: fields {', '.join(missing)}",
            expected=", ".join(data.rows[0].fields),
            fix=f"use the fields of {config.task}",
        )
    return own


def _split(rows: Sequence[TaskRow], fraction: float) -> tuple[list[TaskRow], list[TaskRow]]:
    training = [row for row in rows if not is_held_out(row.group, fraction)]
    if not training:
        raise DataError(
            "there are too few rows to hold any out",
            received=f"{len(rows)} rows, of one text or few",
            fix="set held_out to 0, or give more rows",
        )
    return training, [row for row in rows if is_held_out(row.group, fraction)]


def _line(example: InstructionExample) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(example).items() if value is not None}


def _counts(examples: Sequence[InstructionExample]) -> dict[str, Any]:
    told = {
        "templates": Counter(example.template for example in examples),
        "labels": Counter(example.label for example in examples if example.label is not None),
        "shots": Counter(str(example.shots) for example in examples),
    }
    return {"examples": len(examples), **{what: dict(sorted(counts.items())) for what, counts in told.items()}}


def _require_free(folder: pathlib.Path, name: str) -> None:
    taken = [path for part in (TRAIN, VALIDATION, UNSEEN) if (path := folder / part / f"{name}.jsonl").exists()]
    if taken:
        raise StorageError(
            "examples of this name are there already",
            received=taken[0],
            fix="give another name or output, or remove them",
        )


def _write(path: pathlib.Path, text: str) -> None:
    partial = atomic.hidden(path, atomic.PARTIAL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", errors="surrogatepass")
        atomic.rename(partial, path)
    except OSError as error:
        raise StorageError(
            "the examples cannot be written",
            received=f"{error.filename or path}: {error.strerror or error}",
            fix="free some space, or choose another output",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
