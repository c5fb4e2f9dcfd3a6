"""From what a model answered to figures, as lm-evaluation-harness makes them (`lm_eval/api/task.py`, process_results).

acc         the right choice is the most probable one
acc_norm    the same, each choice's log-probability divided by its characters
acc_bytes   the same, divided by its UTF-8 bytes; the space between question and answer counts in neither
f1, mcc     of the choices made, the second one being the positive class
exact_match of what was written, once for each way of finding the answer in it
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trivium.evaluation import metrics
from trivium.evaluation.intervals import Interval, bootstrap, mean_of_proportions
from trivium.evaluation.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One question and what became of it."""

    prompt: str
    """What the model was asked."""
    target: int | str
    """The right choice, or what was to be written."""
    choices: tuple[str, ...] = ()
    """The answers to choose from."""
    log_probs: tuple[float, ...] = ()
    """Natural log-probability of each."""
    text: str = ""
    """What was written."""
    group: str = ""
    """The group it belongs to, where the task has groups."""


_WEIGHTS: dict[str, Callable[[str], int]] = {
    "acc": lambda choice: 1,
    "acc_norm": len,
    "acc_bytes": lambda choice: len(choice.encode("utf-8", "replace")),
}


def chosen(answered: Answered, by: str = "acc") -> int:
    """The choice that is most probable by ``acc``, ``acc_norm`` or ``acc_bytes``; of equal ones the first."""
    weight = _WEIGHTS[by]
    found = [
        log_prob / max(weight(choice), 1) for log_prob, choice in zip(answered.log_probs, answered.choices, strict=True)
    ]
    return found.index(max(found))


def judge(task: Task, answered: Sequence[Answered]) -> dict[str, float]:
    """Every metric of ``task`` over ``answered``: of several groups, the mean of what each group has."""
    figures = {name: interval.estimate for name, interval in _shares(task, answered).items()}
    given, wanted = [chosen(one) for one in answered if one.choices], [one.target for one in answered]
    if "mcc" in task.metrics:
        figures |= metrics.mcc(given, wanted)
    if "f1" in task.metrics:
        figures["f1"] = metrics.precision_recall_f1(given, wanted, labels=(0, 1), positive=1)["f1"]
    return figures


def intervals(task: Task, answered: Sequence[Answered]) -> dict[str, Interval]:
    """Where each metric lies with a confidence of 95 %: shares of right answers by Wilson's formula within each group,
    any other figure by bootstrap over questions. None for a single question."""
    if len(answered) < 2:
        return {}
    found = _shares(task, answered)
    for name, figure in (("mcc", _mcc), ("f1", _f1)):
        if name in task.metrics:
            found[name] = bootstrap([_cell(one) for one in answered], figure)
    return found


def _shares(task: Task, answered: Sequence[Answered]) -> dict[str, Interval]:
    """Every metric that is a share of right answers: groups count the same, whatever their size."""
    sizes = Counter(one.group for one in answered)
    found = {}
    for name, marks in _marks(task, answered).items():
        right = Counter(one.group for one, mark in zip(answered, marks, strict=True) if mark)
        found[name] = mean_of_proportions([right[group] for group in sizes], list(sizes.values()))
    return found


def _marks(task: Task, answered: Sequence[Answered]) -> dict[str, list[bool]]:
    """Of each metric that is a share of right answers: whether each question counts as right."""
    made = {}
    for name in (name for name in task.metrics if name in _WEIGHTS):
        made[name] = [chosen(one, name) == one.target for one in answered]
    if "exact_match" in task.metrics:
        targets = [task.cleaned(str(one.target)) for one in answered]
        for way, find in task.filters.items():
            texts = [task.cleaned(find(one.text)) for one in answered]
            made[f"exact_match_{way}"] = [text == target for text, target in zip(texts, targets, strict=True)]
    return made


# Of two classes, from sums over questions: of those where 0 was chosen and 0 right, 0 and 1, 1 and 0, 1 and 1 ---------


def _cell(one: Answered) -> list[float]:
    cell = [0.0] * 4
    cell[2 * chosen(one) + int(one.target)] = 1.0
    return cell


def _f1(sums: np.ndarray) -> np.ndarray:
    _, missed, false, right = np.moveaxis(sums, -1, 0)
    return np.asarray(2 * right / np.maximum(2 * right + missed + false, 1))


def _mcc(sums: np.ndarray) -> np.ndarray:
    absent, missed, false, right = np.moveaxis(sums, -1, 0)
    spread = (right + false) * (right + missed) * (absent + false) * (absent + missed)
    return np.asarray((right * absent - false * missed) / np.sqrt(np.maximum(spread, 1)))
