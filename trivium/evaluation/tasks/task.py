"""What a task is: how a record becomes a question, which answers there are, and how they are judged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trivium.errors import DataError

Record = Mapping[str, Any]
"""One line of a task's data, under the names that the task uses."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A test with right answers, worded as lm-evaluation-harness words it, so that figures can be compared."""

    name: str
    """What it is called on the command line."""
    summary: str
    """What it asks, in one line."""
    method: Literal["choose", "write"]
    """choose: each answer is scored, and the most probable one counts; write: the model writes its answer."""
    prompt: str
    """The question, with `{column}` where the record's text goes."""
    choices: tuple[str, ...] = ()
    """The answers to choose from, written in the same way."""
    target: Callable[[Record], int | str]
    """Which choice is right; or what is to be written, at length, as in an example that is shown."""
    columns: Mapping[str, tuple[str, ...]]
    """What a record must have, and how files call it: the first of these names that is there."""
    header: tuple[str, ...] = ()
    """Columns of the table where it does not name them itself."""
    metrics: tuple[str, ...]
    """Which figures are made; see `trivium.evaluation.tasks.judge`."""
    group: str | None = None
    """A column: metrics are the mean of those of each group, and a limit counts in each."""
    shots: int = 0
    """Solved examples shown before the question, unless another number is asked for."""
    spare_shot: bool = True
    """One example more is drawn than is shown, lest the question itself is among them: the harness does so unless its
    task names different files to draw from and to measure on, and drawing changes what is drawn next."""
    delimiter: str = " "
    """Between question and answer."""
    shot_delimiter: str = "\n\n"
    """After each solved example."""
    stop: tuple[str, ...] = ()
    """Texts that end a written answer."""
    max_new_tokens: int = 256
    """The longest written answer."""
    filters: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    """How the answer is found in what was written: each gives an `exact_match` of its own."""
    cleaned: Callable[[str], str] = str
    """What is compared of the answer found and of the target."""

    def ask(self, record: Record, shown: Sequence[Record] = ()) -> str:
        """The question of ``record`` after the solved examples ``shown``."""
        return "".join(map(self._solved, shown)) + filled(self.prompt, record)

    def answers(self, record: Record) -> list[str]:
        """The choices of ``record``."""
        return [filled(choice, record) for choice in self.choices]

    def _solved(self, record: Record) -> str:
        target = self.target(record)
        answer = self.answers(record)[target] if isinstance(target, int) else target
        return filled(self.prompt, record) + self.delimiter + answer + self.shot_delimiter


def filled(template: str, record: Record) -> str:
    """``template`` with the columns of ``record`` in place of their names; braces in a record's text are only text."""
    return template.format_map(record)


def label(column: str, *names: str) -> Callable[[Record], int]:
    """A target: the number of the choice that ``column`` names, by one of ``names`` or by its number."""

    def number(record: Record) -> int:
        given = str(record[column])
        for choice, name in enumerate(names):
            if given.lower() in (name, str(choice), f"{choice}.0"):
                return choice
        raise DataError(
            "an example has no label that this task knows",
            received=f"{column} = {given!r}",
            expected=" or ".join(f"{name} ({choice})" for choice, name in enumerate(names)),
            fix="give the part of the data whose labels are public, such as dev.tsv",
        )

    return number
