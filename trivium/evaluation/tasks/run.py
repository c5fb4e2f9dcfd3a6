"""A task put to a model: the questions with their solved examples, what the model answers, and the figures."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from trivium.errors import ConfigError
from trivium.evaluation.intervals import Interval
from trivium.evaluation.tasks.judge import Answered, intervals, judge
from trivium.evaluation.tasks.task import Record, Task
from trivium.evaluation.tasks.writing import longest_answer, write_answers
from trivium.lm.protocol import LanguageModel
from trivium.runtime.progress import Bar, bar

SHOT_SEED = 1234  # lm-evaluation-harness's: the same examples are shown
_SCORED_AT_ONCE = 64  # questions between two steps of the progress bar


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """How a model did."""

    metrics: dict[str, float]
    """Figures by name, from 0 to 1 (mcc from -1)."""
    intervals: dict[str, Interval]
    """Where each lies with a confidence of 95 %; empty for a single question."""
    answered: list[Answered]
    """Every question with the model's answer, in the order of the data."""
    shots: int
    """Solved examples before each question."""
    cut: int
    """Questions that lost their beginning, for the model holds no more."""


def run_task(
    model: LanguageModel,
    task: Task,
    records: Sequence[Record],
    *,
    limit: int | None = None,
    shots: int | None = None,
    pool: Sequence[Record] | None = None,
    method: Literal["causal", "pseudo"] = "causal",
    silent: bool = True,
) -> TaskResult:
    """Puts ``task`` to ``model``, with the prompts, scores and figures of lm-evaluation-harness.

    Args:
        records: as `read_task` gives them.
        limit: only the first so many (of each group, where the task has groups); None: all.
        shots: solved examples shown before each question; None: as many as the task says.
        pool: what they are drawn from; None: ``records``, the question itself excepted.
        method: how choices are scored, "pseudo" for masked models.
        silent: without a progress bar.

    Raises:
        ConfigError: there are fewer examples to draw from than are to be shown.
        DataError: an example has no label that the task knows.
        Unsupported: the model cannot score, or cannot write.
    """
    shots = task.shots if shots is None else shots
    asked = list(_asked(task, records, records if pool is None else pool, shots, limit, own=pool is None))
    with bar(task.name, total=len(asked), unit="questions", silent=silent) as progress:
        if task.method == "choose":
            answered = _chosen(model, task, asked, method, progress)
        else:
            answered = _written(model, task, asked, progress)
    return TaskResult(
        metrics=judge(task, answered),
        intervals=intervals(task, answered),
        answered=answered,
        shots=shots,
        cut=_cut(model, task, answered),
    )


def _asked(
    task: Task, records: Sequence[Record], pool: Sequence[Record], shots: int, limit: int | None, *, own: bool
) -> Iterator[Answered]:
    """Each question, without an answer yet. Each group draws its examples as if it were alone."""
    for group, members in _grouped(task, records).items():
        drawn_from = _grouped(task, pool).get(group, [])
        chance = random.Random(SHOT_SEED)
        for record in members[:limit]:
            shown = _drawn(chance, drawn_from, record, shots, spare=task.spare_shot or own) if shots else []
            yield Answered(
                prompt=task.ask(record, shown),
                target=task.target(record),
                choices=tuple(task.answers(record)),
                group=group,
            )


def _grouped(task: Task, records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault("" if task.group is None else str(record[task.group]), []).append(record)
    return groups


def _drawn(
    chance: random.Random, pool: Sequence[Record], record: Record, shots: int, *, spare: bool
) -> Sequence[Record]:
    """``shots`` examples of ``pool`` without ``record``, by the steps of `lm_eval/api/samplers.py`."""
    if len(pool) < shots + spare:
        raise ConfigError(
            "there are too few examples to show some of them solved",
            received=f"shots={shots}, and {len(pool)} examples to draw from",
            expected=f"at least {shots + spare}",
            fix="show fewer, or give the training part as --shots-data",
        )
    drawn = chance.sample(pool, shots + spare)
    kept = [example for example in drawn if not spare or example != record][:shots]
    if len(kept) < shots:  # the record stands in the pool more than once
        others = [example for example in pool if example != record]
        return chance.sample(others, min(shots, len(others)))
    return kept


def _chosen(
    model: LanguageModel, task: Task, asked: Sequence[Answered], method: Literal["causal", "pseudo"], progress: Bar
) -> list[Answered]:
    answered = []
    for start in range(0, len(asked), _SCORED_AT_ONCE):
        part = asked[start : start + _SCORED_AT_ONCE]
        pairs = [(one.prompt, task.delimiter + choice) for one in part for choice in one.choices]
        scores = iter(model.score(pairs, method=method))
        answered += [replace(one, log_probs=tuple(next(scores).logprob for _ in one.choices)) for one in part]
        progress.advance(len(part))
    return answered


def _written(model: LanguageModel, task: Task, asked: Sequence[Answered], progress: Bar) -> list[Answered]:
    """All at once: where an answer ends the next begins, so that none waits for the longest of a group."""
    progress.advance(0, "all are written side by side")
    prompts = [one.prompt for one in asked]
    texts = write_answers(model, prompts, max_new_tokens=task.max_new_tokens, stop=task.stop)
    progress.advance(len(asked))
    return [replace(one, text=text) for one, text in zip(asked, texts, strict=True)]


def _cut(model: LanguageModel, task: Task, answered: Sequence[Answered]) -> int:
    """How many questions are longer than the model holds, their answer included."""
    limit, tokenizer = model.config.context_tokens, model.tokenizer
    if limit is None or tokenizer is None:
        return 0
    # The last token of an answer is only predicted.
    room = limit + 1 if task.method == "choose" else limit - longest_answer(model, task.max_new_tokens)
    texts = [one.prompt + task.delimiter + max(one.choices, key=len) if one.choices else one.prompt for one in answered]
    return sum(len(tokenizer.prefix_ids) + len(ids) > room for ids in tokenizer.encode_batch(texts))
