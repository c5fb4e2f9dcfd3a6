"""What fine-tuning gains and what it loses: a model measured before and after, on its new task and on what it knew.

    held = hold_out(ForgettingConfig(), model, own=examples, prompt_format="chat", context_tokens=256)
    before = standing(model, held)                         # nothing is trained or attached yet
    ...
    forgetting_sections(run, held, before)(model)          # measures again, writes forgetting.json, gives the report

Measured are bits per byte of text in general, and of each task, the new one and those of files that are given, the
loss of the answers and how many of them the model writes. Before training the network *is* the base: there is no second
copy.
"""

import dataclasses
import itertools
import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from trivium.adapters.beginning import prefix_tokens
from trivium.checkpoints.folder import replace_file
from trivium.data.evaluation import evaluation_batches
from trivium.data.examples import Example, ExamplesSource
from trivium.data.examples_file import read_records
from trivium.data.shards import TokenStore
from trivium.errors import DataError, UserError
from trivium.evaluation import metrics
from trivium.evaluation.bits_per_byte import TOKENS_AT_ONCE, BitsPerByte, store_of_texts
from trivium.lm.local import LocalModel
from trivium.lm.turns import PromptFormat
from trivium.objectives.causal import causal
from trivium.recipes.examples import encode_record
from trivium.recipes.general_text import general_texts, texts_of
from trivium.recipes.prompted import prompted
from trivium.recipes.training import require_at_least
from trivium.reports.forgetting import Compared, forgetting_section
from trivium.reports.page import Section
from trivium.runtime import processes
from trivium.training.run import Run

FORGETTING = "forgetting.json"
OWN = "what was trained"
"""The name of the new task in what is told."""

_MEASURES = {"loss": "nats a token", "exact_match": "answers exactly right", "rougeL": "ROUGE-L"}
_MOST_NEW_TOKENS = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForgettingConfig:
    """What a model is measured on before and after it is fine-tuned."""

    measure: bool = True
    """Measure at all."""
    text: pathlib.Path | None = None
    """Text in general: a file or folder, or what `trivium prepare` wrote, of which the held-out part counts. Null: what
    the model was trained on, where that is here, else the documentation on this machine."""
    text_bytes: int = 50_000
    """About so much of it, taken evenly."""
    tasks: tuple[pathlib.Path, ...] = ()
    """Files of examples of other tasks that the model should still be able to do."""
    examples: int = 32
    """Of each task at most so many."""

    def __post_init__(self) -> None:
        require_at_least(1, text_bytes=self.text_bytes, examples=self.examples)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """Examples that a model is measured on, encoded as it is asked."""

    name: str
    """What the report calls it."""
    examples: Sequence[Example]
    """At least one."""
    answers: Sequence[str]
    """What is to be written for each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """All that a model is measured on."""

    text: TokenStore | None
    """Text in general; None where there is none that the vocabulary can write."""
    text_source: str
    """Where it is from, in words."""
    tasks: Sequence[Task]
    """The new task first."""
    context_tokens: int
    """Tokens of a window of the text, and the longest example."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """What a model can do at one time."""

    bits_per_byte: float | None
    """Of the text in general."""
    tasks: Mapping[str, Mapping[str, float]]
    """Of each task "loss" (nats for each token of an answer), "exact_match" and "rougeL" (shares of 1)."""


def hold_out(
    config: ForgettingConfig,
    model: LocalModel,
    *,
    own: Sequence[Example],
    prompt_format: PromptFormat,
    context_tokens: int,
) -> HeldOut | None:
    """What `model` is measured on: `own` are examples of the new task that are not trained on.

    None where nothing is measured. Raises `UserError` for a file or text that was asked for and cannot be used.
    """
    if not config.measure:
        return None
    text, source = _general_text(config, model)
    new = _task(OWN, own, model, config.examples, context_tokens)
    others = _others(config, model, prompt_format, context_tokens)
    tasks = others if new is None else [new, *others]
    return HeldOut(text=text, text_source=source, tasks=tasks, context_tokens=context_tokens)


@torch.inference_mode()
def standing(model: LocalModel, held: HeldOut) -> Standing:
    """Of the network as it is now, with the adapter that is active; greedy answers."""
    tasks = {task.name: _measured(model, task, held.context_tokens) for task in held.tasks}
    return Standing(bits_per_byte=None if held.text is None else _bits(model, held).bits_per_byte, tasks=tasks)


def forgetting_sections(
    run: Run, held: HeldOut | None, before: Standing | None
) -> Callable[[LocalModel], Sequence[Section]]:
    """What measures the finished model, keeps all figures in `forgetting.json` of the run, and shows them."""

    def sections(model: LocalModel) -> Sequence[Section]:
        if held is None or before is None:
            return []
        after = standing(model, held)
        told = figures(held, before, after)
        replace_file(run.folder / FORGETTING, (json.dumps(told, indent=2) + "\n").encode())
        return [forgetting_section(compared(held, before, after), text_source=held.text_source)]

    return sections


def figures(held: HeldOut, before: Standing, after: Standing) -> dict[str, Any]:
    """The content of `forgetting.json`."""
    text = None
    if held.text is not None:
        text = {
            "source": held.text_source,
            "bytes": held.text.num_bytes,
            "bits_per_byte": {"before": before.bits_per_byte, "after": after.bits_per_byte},
        }
    tasks = {
        task.name: {
            "examples": len(task.examples),
            **{
                measure: {"before": was, "after": after.tasks[task.name][measure]}
                for measure, was in before.tasks[task.name].items()
            },
        }
        for task in held.tasks
    }
    return {"text": text, "tasks": tasks}


def compared(held: HeldOut, before: Standing, after: Standing) -> list[Compared]:
    """Every figure as the report shows it, those by which gain and loss are drawn first of their kind."""
    found = []
    for task in held.tasks:
        was, now = before.tasks[task.name], after.tasks[task.name]
        for measure, words in (
            ("loss", "nats a token"),
            ("exact_match", "answers exactly right"),
            ("rougeL", "ROUGE-L"),
        ):
            found.append(
                Compared(
                    what=task.name,
                    measure=words,
                    before=was[measure],
                    after=now[measure],
                    lower_is_better=measure == "loss",
                    drawn=measure == "loss",
                )
            )
    if before.bits_per_byte is not None and after.bits_per_byte is not None:
        found.append(
            Compared(
                what="text in general",
                measure="bits per byte",
                before=before.bits_per_byte,
                after=after.bits_per_byte,
                lower_is_better=True,
                drawn=True,
            )
        )
    return found


def _task(name: str, examples: Iterable[Example], model: LocalModel, most: int, context_tokens: int) -> Task | None:
    """The first ``most`` examples that fit and have an answer; None where there are none."""
    fitting = (each for each in examples if len(each.ids) - 1 <= context_tokens and any(each.trained))
    chosen = list(itertools.islice(fitting, most))
    return Task(name=name, examples=chosen, answers=[_answer(model, each) for each in chosen]) if chosen else None


def _others(
    config: ForgettingConfig, model: LocalModel, prompt_format: PromptFormat, context_tokens: int
) -> list[Task]:
    """The tasks of files. Raises `DataError` for one of which nothing can be measured, and for names that are alike."""
    assert model.tokenizer is not None
    tasks = []
    for path in config.tasks:
        if path.stem in (OWN, *(task.name for task in tasks)):
            raise DataError("tasks are told apart by the names of their files", received=path, fix="rename the file")
        records = read_records(path)
        examples = (
            encode_record(model.tokenizer, record, prompt_format=prompt_format, answers="last") for record in records
        )
        task = _task(path.stem, examples, model, config.examples, context_tokens)
        if task is None:
            raise DataError(
                "no example of this task can be measured",
                received=f"{path}: {len(records)} examples, all longer than {context_tokens} tokens",
                fix="set a larger context_tokens",
            )
        tasks.append(task)
    return tasks


def _asked(example: Example) -> list[int]:
    """What stands before the first token that is to be written."""
    return list(example.ids[: list(example.trained).index(True)])


def _answer(model: LocalModel, example: Example) -> str:
    """What is to be written, as text; special tokens, such as the one that ends it, are none."""
    assert model.tokenizer is not None
    special = set(model.tokenizer.special_tokens.values())
    ids = [id for id, trained in zip(example.ids, example.trained, strict=True) if trained and id not in special]
    return model.tokenizer.decode(ids).strip()


def _measured(model: LocalModel, task: Task, context_tokens: int) -> dict[str, float]:
    vocabulary_size = model.config.vocabulary_size
    source = ExamplesSource(list(task.examples), vocabulary_size=vocabulary_size, context_tokens=context_tokens, rows=1)
    objective, device = prompted(causal), next(model.network.parameters()).device
    nats = count = 0.0
    for _ in range(round(source.batches_per_epoch)):
        loss = objective(model.network, next(source).to(device))
        nats, count = nats + float(loss.total), count + float(loss.count)
    longest = max(sum(example.trained) for example in task.examples)
    written = model.generate(
        [_asked(example) for example in task.examples],
        max_new_tokens=min(longest, _MOST_NEW_TOKENS),
        temperature=0.0,
    )
    said = [answer.text.strip() for answer in written]
    return {
        "loss": nats / count,
        "exact_match": metrics.exact_match(said, list(task.answers))["exact_match"],
        "rougeL": metrics.rouge(said, list(task.answers), kinds=("rougeL",))["rougeL"],
    }


def _bits(model: LocalModel, held: HeldOut) -> BitsPerByte:
    """As `evaluation.bits_per_byte` counts, but after the adapter's prompt where it has one."""
    assert held.text is not None
    objective, device = prompted(causal), next(model.network.parameters()).device
    rows = max(1, TOKENS_AT_ONCE // (held.context_tokens + prefix_tokens(model.network)))
    nats = tokens = 0.0
    for batch in evaluation_batches(held.text, context_tokens=held.context_tokens, rows=rows):
        loss = objective(model.network, batch.to(device))
        nats, tokens = nats + float(loss.total), tokens + float(loss.count)
    return BitsPerByte(nats=nats, tokens=int(tokens), bytes=held.text.num_bytes)


def _general_text(config: ForgettingConfig, model: LocalModel) -> tuple[TokenStore | None, str]:
    """(the text, where it is from); what nobody asked for is left out, and told, where it cannot be measured."""
    assert model.tokenizer is not None, "a model that is fine-tuned has one"
    try:
        if config.text is None:
            texts, source = general_texts(model, measured=True, most_bytes=config.text_bytes)
        else:
            texts, source = texts_of(config.text, measured=True, most_bytes=config.text_bytes), str(config.text)
        return store_of_texts(texts, model.tokenizer, model.config.vocabulary_size), source
    except UserError as error:
        if config.text is not None:
            raise
        if processes.place().is_first:
            print(f"what is forgotten of text in general is not measured: {error}", file=sys.stderr)
        return None, ""
