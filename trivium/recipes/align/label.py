"""People rank answers, by criteria of one's own; a folder holds what is asked and what each rater said.

    config = LabelConfig(data=Path("answers.jsonl"), criteria=("helpful: does it help the user",), rater="Ann")
    sheet = open_sheet(config)
    while sheet.question is not None:
        sheet.answer("2 1=3")                       # of the answers as they are shown: 2 is best, 1 and 3 are equal

`trivium.recipes.align.label_report` tells how well raters agree, and writes what they said as preference data.

The folder:

    task.json           the criteria, the seed, and the prompts with their answers, of the first rater; others are
                        asked the same
    raters/Ann.jsonl    a line for each answer to a question, written at once; the last line of a question counts

Raters do not see which answer is whose: each has an order of their own, drawn from the seed.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trivium.checkpoints.folder import replace_file
from trivium.data.columns import columns_of
from trivium.data.conversations import Turn
from trivium.data.preferences.read import read_preferences
from trivium.errors import ConfigError, DataError
from trivium.recipes.align.label_sheet import Item, Said, Sheet, read_said

_TASK = "task.json"
RATERS = "raters"
"""The folder, in that of the task, of what each rater said."""
_NAME = re.compile(r"[\w][\w.@-]{0,63}")
"""Of a rater or a criterion: it becomes the name of a file, or stands in a line of the report."""


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Asks a rater to rank answers, tells how well raters agree, and writes what they said as preference data."""

    data: Path | None = None
    """Prompts with two answers or more: {"prompt", "answers": [...]} a line, an answer a line as `generate --input FILE
    --json` writes them, or preference data. Not needed again once the folder has it."""
    columns: tuple[str, ...] = ()
    """Which columns or fields are meant, as prompt=question,answers=replies."""
    criteria: tuple[str, ...] = ()
    """By what answers are ranked, each "name: what to ask the rater"; more than one makes a question of each."""
    rater: str | None = None
    """Who is asked: letters, digits, dashes and dots; one who has begun goes on where they stopped."""
    output: Path = Path("labels")
    """The folder of the task; several raters share it."""
    seed: int = 0
    """Decides, with the name of the rater, in which order answers are shown."""
    answers: Path | None = None
    """A file with what a rater would type, a line for each question that is left, instead of a person at the terminal;
    standard input that is no terminal is read the same way."""
    report: bool = False
    """Tell how well the raters agree; it is told as well when a rater has answered everything."""
    export: Path | None = None
    """The .jsonl file to write preference data to, of all raters together."""

    def __post_init__(self) -> None:
        if self.rater is None and not self.report and self.export is None:
            raise ConfigError(
                "nobody is asked, and nothing is to be told",
                received="neither rater nor report nor export",
                fix="give --rater NAME to be asked, --report or --export FILE for what was said",
            )
        if self.rater is not None and not _NAME.fullmatch(self.rater):
            raise ConfigError(
                "a rater's name becomes the name of a file",
                received=self.rater,
                expected="up to 64 letters, digits, dashes and dots",
            )
        if self.export is not None and self.export.suffix != ".jsonl":
            raise ConfigError("preference data is written as lines of JSON", received=self.export, expected=".jsonl")
        if self.export is not None:
            read = [self.output / RATERS, *(path for path in (self.data, self.answers) if path is not None)]
            require_apart(self.export, read)
        _criteria(self.criteria)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all raters are asked."""

    criteria: Mapping[str, str]
    """Name -> what the rater is asked; empty where there is nothing but the name."""
    seed: int
    """Decides, with the name of the rater, the order in which answers are shown."""
    items: tuple[Item, ...]
    """The prompts with their answers, in the order of the data."""


def open_sheet(config: LabelConfig) -> Sheet:
    """What the rater of ``config`` is asked next and has said so far; the folder is begun where there is none.

    Raises:
        ConfigError: no rater, no data for a new folder, or other criteria or data than the folder was begun with.
        DataError: a line of the data that cannot be used, no prompt with two answers, or a damaged folder.
    """
    if config.rater is None:
        raise ConfigError("nobody is asked", received="no rater", fix="give --rater NAME")
    task = _begun(config) if (config.output / _TASK).exists() else _begin(config)
    raters = config.output / RATERS
    raters.mkdir(parents=True, exist_ok=True)
    return Sheet(task.items, task.criteria, rater=config.rater, seed=task.seed, file=raters / f"{config.rater}.jsonl")


def read_task(folder: Path) -> Task:
    """What the raters of a folder are asked. Raises `DataError` where it is no such folder, or a damaged one."""
    try:
        told = json.loads((folder / _TASK).read_text(encoding="utf-8"))
        items = tuple(Item(messages=tuple(i["messages"]), answers=tuple(i["answers"])) for i in told["items"])
        return Task(criteria=told["criteria"], seed=told["seed"], items=items)
    except FileNotFoundError as error:
        raise DataError(
            "nobody was asked anything here", received=folder, fix="give the folder that a rater was asked with"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("the task is damaged", received=f"{folder / _TASK}: {error}", fix="copy it again") from error


def require_apart(export: Path, read: Sequence[Path]) -> None:
    """Raises `ConfigError` where ``export`` is one of the files that are ``read``, or lies in a folder of them."""
    for path in read:
        same = export.exists() and path.exists() and export.samefile(path)  # by another name, as a hard link
        if same or export.resolve().is_relative_to(path.resolve()):
            raise ConfigError(
                "what is read would be written over",
                received=f"export {export}, and {path} is read",
                fix="give another file with --export",
            )


def said_by_raters(folder: Path, task: Task) -> dict[str, Said]:
    """Rater -> (item, criterion) -> the ranks of its answers, as the task has them; None for what was skipped."""
    files = sorted((folder / RATERS).glob("*.jsonl"))
    return {file.stem: read_said(file, task.items, task.criteria) for file in files}


def items_of(path: Path, columns: Mapping[str, str] | None = None) -> tuple[list[Item], int]:
    """The prompts of a file with two different answers or more, and how many prompts have fewer. Answers to one prompt
    belong together, wherever they stand; those that are the same are one. Raises as `read_preferences` does."""
    answers: dict[str, list[str]] = {}
    messages: dict[str, tuple[Turn, ...]] = {}
    for each in read_preferences(path, columns=columns, unjudged=True).judged:
        messages.setdefault(each.prompt, each.messages)
        answers.setdefault(each.prompt, []).extend(each.answers)
    items = [Item(messages=messages[prompt], answers=tuple(dict.fromkeys(answers[prompt]))) for prompt in messages]
    compared = [item for item in items if len(item.answers) > 1]
    if not compared:
        raise DataError(
            "there is nothing to compare",
            received=f"{path}: {len(items)} prompts with one answer",
            expected='two answers or more to a prompt, as {"prompt": ..., "answers": [...]}',
        )
    return compared, len(items) - len(compared)


def _begin(config: LabelConfig) -> Task:
    if config.data is None or not config.criteria:
        raise ConfigError(
            "a new task needs data and criteria",
            received=f"{config.output}, where nothing was begun",
            fix='give FILE --criteria "helpful: does it help the user"',
        )
    items, alone = items_of(config.data, columns_of(config.columns) or None)
    left_out = f"; left out: {alone:,} with one answer" if alone else ""
    print(f"{len(items):,} prompts with answers to rank{left_out}", file=sys.stderr)
    task = Task(criteria=_criteria(config.criteria), seed=config.seed, items=tuple(items))
    told = {
        "criteria": task.criteria,
        "seed": task.seed,
        "items": [{"messages": list(item.messages), "answers": list(item.answers)} for item in items],
    }
    config.output.mkdir(parents=True, exist_ok=True)
    # A surrogate alone has no bytes in UTF-8; as JSON spells it out it is read back as it was.
    replace_file(
        config.output / _TASK, json.dumps(told, ensure_ascii=False, indent=1).encode(errors="backslashreplace")
    )
    return task


def _begun(config: LabelConfig) -> Task:
    task = read_task(config.output)
    asked = _criteria(config.criteria)
    if asked and asked != task.criteria:
        raise ConfigError(
            "the folder was begun with other criteria",
            received="; ".join(config.criteria),
            expected="; ".join(f"{name}: {text}" if text else name for name, text in task.criteria.items()),
            fix="leave --criteria out to go on, or choose another --output",
        )
    if config.data is not None:
        items, _ = items_of(config.data, columns_of(config.columns) or None)
        if tuple(items) != task.items:
            raise ConfigError(
                "the folder was begun with other prompts or answers",
                received=f"{config.data}: {len(items)} prompts",
                expected=f"the {len(task.items)} of {config.output}",
                fix="leave the file out to go on, or choose another --output",
            )
    return task


def _criteria(words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, _, text = word.partition(":")
        name = name.strip()
        if not _NAME.fullmatch(name):
            raise ConfigError(
                "a criterion is a name, a colon and what to ask",
                received=word,
                expected='"helpful: does it help the user"',
            )
        if name in found:
            raise ConfigError("a criterion stands there twice", received=name, fix="give each once")
        found[name] = text.strip()
    return found
