"""Rows of a task to examples that ask for it in words: many phrasings, with worked examples or without.

    data = read_task_rows("sentiment", Path("reviews.csv"))
    templates, unseen = hold_out_templates(task_phrasings("sentiment").templates, 2)
    training = [row for row in data.rows if not is_held_out(row.group, 0.05)]
    examples = phrased(data, templates, InstructionStyle(shots=3), task="reviews", rows=training, shown=training)

What becomes of a row is decided by hashes of the seed, of what the row says and of the template's name. Without worked
examples, which are drawn from the others, rows that come or go change nothing for those that stay.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from trivium.data.task_rows import TaskData, TaskRow
from trivium.errors import ConfigError, DataError
from trivium.templates.phrasing import OPTIONS, Layout, Phrasing, layouts, render

ListOptions = Literal["always", "never", "sometimes"]
"""Whether a prompt tells the answers that there are."""

_TRIES = 20
"""So often another row is drawn where one may not be shown: it is of the same text, or was drawn before."""


@dataclass(frozen=True, kw_only=True)
class InstructionStyle:
    """How rows are put into words."""

    phrasings_per_row: int = 1
    """Examples of one row, each by another template."""
    inverted: bool = True
    """Also ask for the text where its label or summary is given."""
    options: ListOptions = "sometimes"
    """Whether prompts list the labels to choose from: always, never, or in every second example."""
    shots: int = 0
    """Worked examples before what is asked, at most; they come from the training part."""
    few_shot_share: float = 0.5
    """With shots: the share of examples that have any; 1 to `shots` of them."""
    positive: str | None = None
    """The label that says that two texts do belong together; without, templates that need it are left out."""

    def __post_init__(self) -> None:
        if self.phrasings_per_row < 1 or self.shots < 0:
            raise ConfigError(
                "examples cannot be counted like that",
                received=f"phrasings_per_row {self.phrasings_per_row}, shots {self.shots}",
                expected="1 or more, and 0 or more",
            )
        if not 0 <= self.few_shot_share <= 1:
            raise ConfigError("a share lies between 0 and 1", received=f"few_shot_share {self.few_shot_share:g}")


@dataclass(frozen=True, kw_only=True)
class InstructionExample:
    """One example, in the fields of a line of `trivium.data.example_forms`."""

    instruction: str
    """What is asked, worked examples included."""
    output: str
    """The answer."""
    task: str
    """What it is an example of."""
    template: str
    """The phrasing that it was made by."""
    group: str
    """Of its row: all of one group are held out together."""
    label: str | None = None
    """Of its row."""
    shots: int = 0
    """Worked examples in it."""


def hold_out_templates(
    templates: Sequence[Phrasing], number: int, *, seed: int = 0
) -> tuple[list[Phrasing], list[Phrasing]]:
    """(to train on, to measure on): phrasings that training never sees, by a hash of the seed and their names.

    Raises:
        ConfigError: none would be left to train on.
    """
    if not 0 <= number < len(templates):
        raise ConfigError(
            "no phrasing would be left to train on",
            received=f"{number} of {len(templates)} held out",
            expected=f"at most {len(templates) - 1}",
        )
    ordered = sorted(templates, key=lambda template: _hash(seed, "held out", template.name))
    held = {template.name for template in ordered[:number]}
    return [t for t in templates if t.name not in held], [t for t in templates if t.name in held]


def usable_templates(templates: Sequence[Phrasing], style: InstructionStyle) -> list[Phrasing]:
    """Those that the style allows for any row."""
    allowed = [template for template in templates if style.inverted or not template.inverted]
    return [template for template in allowed if template.only is None or style.positive is not None]


def phrased(
    data: TaskData,
    templates: Sequence[Phrasing],
    style: InstructionStyle,
    *,
    task: str,
    rows: Sequence[TaskRow],
    shown: Sequence[TaskRow],
    seed: int = 0,
) -> Iterator[InstructionExample]:
    """The examples of ``rows``, in their order.

    Args:
        data: the task's rows and options.
        templates: those that may be used; a row gets those that are for it, `phrasings_per_row` of them at most.
        style: how they are put into words.
        task: what it is called in the examples.
        rows: those to make examples of.
        shown: rows that worked examples are drawn from, the training part; one of the same group is never shown.
        seed: of all choices.

    Raises:
        DataError: a template that fails on a row, with the row; no template that is for any row.
    """
    usable = usable_templates(templates, style)
    _check_positive(style, data)
    maker = _Maker(data, style, task, shown, seed)
    made = 0
    for row in rows:
        for template in _of_row(row, usable, style, seed):
            made += 1
            yield maker.example(row, template)
    if rows and not made:
        raise DataError(
            "no template is for any of the rows",
            received=f"{task}: {len(rows):,} rows, {len(usable)} templates",
            fix="allow inverted ones, or name the positive label",
        )


class _Maker:
    """Makes one example after the other; each depends on its row, its template and the seed alone."""

    def __init__(self, data: TaskData, style: InstructionStyle, task: str, shown: Sequence[TaskRow], seed: int):
        self._data, self._style, self._task, self._shown, self._seed = data, style, task, shown, seed

    def example(self, row: TaskRow, template: Phrasing) -> InstructionExample:
        chance = (self._seed, _key(row), template.name)
        options = self._options_layout(template, chance)
        shots = [self._worked(shot, template, options) for shot in self._shots(row, template, chance)]
        prompt, completion = self._worked(row, template, options)
        if shots:
            layout = _pick(layouts().shots, *chance, "layout")
            told = [{"prompt": asked, "completion": answer} for asked, answer in shots]
            variables = {"shots": told, "prompt": prompt}
            prompt = render(layout.text, variables, where=f"{row.where}: layout {layout.name}").strip()
        return InstructionExample(
            instruction=prompt,
            output=completion,
            task=self._task,
            template=template.name,
            group=row.group,
            label=row.label,
            shots=len(shots),
        )

    def _options_layout(self, template: Phrasing, chance: tuple[object, ...]) -> Layout | None:
        """How the options are listed; None where they are not."""
        wanted = self._style.options
        if not self._data.options or not template.lists_options or wanted == "never":
            return None
        if wanted == "sometimes" and _fraction(*chance, "options") < 0.5:
            return None
        return _pick(layouts().options, *chance, "options layout")

    def _shots(self, row: TaskRow, template: Phrasing, chance: tuple[object, ...]) -> list[TaskRow]:
        """Other rows that the template is for, of other groups."""
        most = min(self._style.shots, len(self._shown))
        if most == 0 or _fraction(*chance, "few-shot") >= self._style.few_shot_share:
            return []
        wanted = 1 + _hash(*chance, "number") % most
        found: dict[str, TaskRow] = {}
        for turn in range(_TRIES * wanted):
            other = self._shown[_hash(*chance, "shot", turn) % len(self._shown)]
            if other.group != row.group and _is_for(template, other, self._style):
                found.setdefault(other.group, other)
            if len(found) == wanted:
                break
        return list(found.values())

    def _worked(self, row: TaskRow, template: Phrasing, options: Layout | None) -> tuple[str, str]:
        """(prompt, completion) of a row."""
        where = f"{row.where}: template {template.name}"
        listed = "" if options is None else render(options.text, {"options": list(self._data.options)}, where=where)
        prompt = render(template.prompt, {**row.fields, OPTIONS: listed}, where=where)
        return prompt.strip(), render(template.completion, dict(row.fields), where=where).strip()


def _of_row(row: TaskRow, templates: Sequence[Phrasing], style: InstructionStyle, seed: int) -> list[Phrasing]:
    able = [template for template in templates if _is_for(template, row, style)]
    key = _key(row)
    able.sort(key=lambda template: _hash(seed, "template", key, template.name))
    return able[: style.phrasings_per_row]


def _key(row: TaskRow) -> str:
    """What a row says, whatever its file is called and wherever it stands there."""
    return json.dumps(dict(row.fields), sort_keys=True)


def _is_for(template: Phrasing, row: TaskRow, style: InstructionStyle) -> bool:
    if template.only is not None and row.label != style.positive:
        return False
    return all(row.fields[name] for name in template.needs)


def _check_positive(style: InstructionStyle, data: TaskData) -> None:
    if style.positive is not None and style.positive not in data.options:
        raise ConfigError(
            "the positive label is none of the labels",
            received=style.positive,
            expected=", ".join(data.options) or "a task with labels",
        )


def _pick(layouts: Sequence[Layout], *chance: object) -> Layout:
    return layouts[_hash(*chance) % len(layouts)]


def _fraction(*chance: object) -> float:
    """A number in [0, 1)."""
    return _hash(*chance) / 2**64


def _hash(*parts: object) -> int:
    text = "\n".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8, person=b"trivium phrase").digest(), "little")
