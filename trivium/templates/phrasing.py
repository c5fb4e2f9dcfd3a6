"""Many ways to put one task into words: templates, kept as data, in the manner of FLAN.

phrasings = task_phrasings("sentiment")
phrasings.templates[0].name, phrasings.templates[0].prompt      # "question-after", "{{ text }} ... "

Wei et al. 2022, "Finetuned Language Models Are Zero-Shot Learners", section 2.1: about ten templates for each data set,
written by hand, of which a few turn the task around; section 2.3: a classification may list its options. The templates
of the eight tasks here are ours (`templates/tasks/*.yaml`). They are Jinja and run in the sandbox that chat templates
run in; in `layouts.yaml` stands how options are listed and how worked examples stand before what is asked.
"""

import collections
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from jinja2 import Environment, TemplateError, meta

from trivium import config
from trivium.errors import ConfigError, DataError
from trivium.templates.process import TemplateProcess

Task = Literal[
    "sentiment",
    "summarisation",
    "translation",
    "entities",
    "question_answering",
    "paraphrase",
    "entailment",
    "completion",
]
"""What templates are here for."""
TASKS: tuple[Task, ...] = get_args(Task)
OPTIONS = "options_listed"
"""The variable in which a prompt lists its options; empty where they are not listed."""

_FOLDER = Path(__file__).with_name("tasks")
_RENDER_SECONDS, _CHARACTERS = 5.0, 4_000_000


@dataclass(frozen=True, kw_only=True)
class Phrasing:
    """One way to ask."""

    name: str
    """What it is called; of its own within the task."""
    prompt: str
    """Jinja: what is asked, from the fields of a row."""
    completion: str
    """Jinja: what is to be answered."""
    inverted: bool = False
    """It turns the task around: it gives the answer and asks for the text."""
    only: Literal["positive"] | None = None
    """positive: for rows with the positive label only, as two sentences that do mean the same."""
    needs: tuple[str, ...] = ()
    """Fields that must not be empty in a row that it is for."""

    @property
    def lists_options(self) -> bool:
        """Whether its prompt has a place for them."""
        return OPTIONS in self.prompt


@dataclass(frozen=True, kw_only=True)
class Phrasings:
    """The templates of one task."""

    fields: tuple[str, ...]
    """What a row must have for all of them."""
    templates: tuple[Phrasing, ...]
    """The ways to ask, at least one."""

    def __post_init__(self) -> None:
        if not self.templates:
            raise ConfigError("there are no templates", expected="at least one below templates:")
        counts = collections.Counter(template.name for template in self.templates)
        if max(counts.values()) > 1:
            name, count = counts.most_common(1)[0]
            raise ConfigError("templates must have names of their own", received=f"{name}, {count} times")
        for template in self.templates:
            _check(template, "prompt", template.prompt, {*self.fields, OPTIONS})
            _check(template, "completion", template.completion, set(self.fields))
            _check_needs(template, self.fields)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way to list options, or to put worked examples before a prompt."""

    name: str
    """What it is called."""
    text: str
    """Jinja, of ``options``; or of ``shots``, each with a prompt and a completion, and ``prompt``."""


@dataclass(frozen=True, kw_only=True)
class Layouts:
    """All of them."""

    options: tuple[Layout, ...]
    """How options are listed."""
    shots: tuple[Layout, ...]
    """How worked examples stand before what is asked."""


def task_phrasings(task: Task) -> Phrasings:
    """The templates of ours for a task."""
    return config.from_yaml(Phrasings, _FOLDER / f"{task}.yaml")


def own_phrasings(path: Path) -> Phrasings:
    """Templates from a file like those in `templates/tasks`.

    Raises:
        ConfigError: another form, a template that is no Jinja or that reads what its rows do not have.
        StorageError: the file cannot be read.
    """
    return config.from_yaml(Phrasings, path)


@cache
def layouts() -> Layouts:
    """The layouts of ours."""
    return config.from_yaml(Layouts, _FOLDER / "layouts.yaml")


def render(source: str, variables: dict[str, Any], *, where: str) -> str:
    """What a template makes of ``variables``: some text, and not white space alone.

    Raises:
        DataError: it fails or makes nothing; ``where`` tells of what row and by which template.
    """
    try:
        process = TemplateProcess.shared()
        text = process.render(source, variables, timeout_s=_RENDER_SECONDS, output_characters=_CHARACTERS)
    except DataError as error:
        raise DataError(
            "a template fails on a row",
            received=f"{where}: {error.received}",
            fix="correct the row or the template, or leave one of them out",
        ) from error
    if not text.strip():
        raise DataError("a template makes nothing of a row", received=where, fix="correct the row, or remove it")
    return text


def _check(template: Phrasing, part: str, source: str, known: set[str]) -> None:
    """Jinja itself would write nothing for a name that is misspelt."""
    try:
        read = meta.find_undeclared_variables(Environment(extensions=["jinja2.ext.loopcontrols"]).parse(source))
    except (TemplateError, RecursionError) as error:
        raise ConfigError(
            f"the {part} of a template cannot be read", received=f"{template.name}: {error}"[:200], expected="Jinja"
        ) from error
    unknown = sorted(read - known)
    if unknown:
        raise ConfigError(
            f"the {part} of a template reads what no row has",
            received=f"{template.name}: {', '.join(unknown)}",
            expected=", ".join(sorted(known)),
            fix=config.did_you_mean(unknown[0], known),
        )


def _check_needs(template: Phrasing, fields: tuple[str, ...]) -> None:
    unknown = [name for name in template.needs if name not in fields]
    if unknown:
        raise ConfigError(
            "a template needs what no row has",
            received=f"{template.name}: {', '.join(unknown)}",
            expected=", ".join(fields),
            fix=config.did_you_mean(unknown[0], fields),
        )
