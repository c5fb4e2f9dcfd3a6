"""Measures a model: on what it is for, on text it has not seen, or on a task with right answers.

    evaluate(EvaluateConfig(model=Path("runs/classification"), data=Path("test.csv")))

A classifier, a tagger and a translator are measured as such, any other model by its bits per byte, unless a task is
named.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from trivium.checkpoints.folder import replace_file
from trivium.data.conll import read_conll
from trivium.data.labelled import read_labelled
from trivium.errors import ConfigError, StorageError, Unsupported
from trivium.evaluation.tasks import Task, find_task, run_task
from trivium.evaluation.tasks.records import expected, read_task
from trivium.evaluation.tasks.run import SHOT_SEED
from trivium.evaluation.tasks.writing import longest_answer
from trivium.lm.load import load, saved_folder
from trivium.lm.local import LocalModel
from trivium.lm.protocol import LanguageModel
from trivium.lm.purpose import PURPOSES, Purpose, purpose_of_folder
from trivium.recipes.evaluate_classification import evaluate_classification
from trivium.recipes.evaluate_tagging import evaluate_tagging
from trivium.recipes.evaluate_text import (
    MASKED,
    evaluate_bits_per_byte,
    evaluate_perplexity,
    text_tokenizer,
)
from trivium.recipes.evaluate_translation import evaluate_translation, read_references

TEXT_TASKS = ("bits_per_byte", "perplexity")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured, on what, and how much context each token sees."""

    model: Path
    """Folder of a model, or of a run (its best checkpoint)."""
    data: Path | None = None
    """For a classifier texts with labels (.jsonl, .csv, .tsv, or a folder for each label); for a tagger a CoNLL file;
    for a translator a text, with `references`, or pairs (.tsv, .jsonl); else a text file, a folder of text, or a folder
    that `trivium prepare` wrote (its validation part); for a task, the file of its examples."""
    task: str | None = None
    """What the model is for, if not given: classification, tagging or translation, else bits_per_byte. Also perplexity
    of text; or cola, sst2, mrpc, rte, qnli, wnli, boolq, blimp, gsm8k, svamp, asked and scored as
    lm-evaluation-harness does. A model that reads text in both directions has a perplexity for each, and no bits per
    byte."""
    references: Path | None = None
    """For translation: the right translations of `data`, line by line."""
    beams: int | None = None
    """For translation: hypotheses of the search; as generation_config.json says if not given."""
    text_field: str | None = None
    """For classification: field or column of the text; text, or else sentence, if not given."""
    label_field: str | None = None
    """For classification: field or column of the label; label if not given."""
    limit: int | None = None
    """Only the first so many examples of a task (of each of BLiMP's kinds), sentences, or documents of a text; of texts
    with labels so many from all over the data."""
    shots: int | None = None
    """Solved examples shown before each question; the task's own number if not given (5 for gsm8k, else none)."""
    shots_data: Path | None = None
    """File that the solved examples are drawn from, such as the task's training part; the examples themselves, but for
    the one asked, if not given."""
    answers: Path | None = None
    """File to write every example to, with what the model answered: one JSON a line."""
    context_tokens: int | None = None
    """Window the text is read in; the model's own context if not given."""
    stride_tokens: int | None = None
    """New tokens scored by each window, the rest being context; half the window if not given. Equal to the window it is
    fastest, and a token at a window's beginning sees little of what came before."""
    encoding: str = "utf-8"
    """How text files are encoded."""
    output: Path | None = None
    """File to write the result to, as JSON."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: str = "float32"
    """Number format to compute in: float32, bfloat16, float64, auto."""

    def __post_init__(self) -> None:
        for name, least in (("context_tokens", 1), ("stride_tokens", 1), ("limit", 1), ("shots", 0), ("beams", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is too small", received=value, expected=f"at least {least}")
        if self.task is not None:
            check_settings(self, self.task)
        if self.data is None:
            of_task = None if self.task in (None, *TEXT_TASKS, *PURPOSES) else find_task(str(self.task))
            kinds = "what the model is for: text, or examples" if of_task is None else expected(of_task)
            what = "" if self.task is None else f"for {self.task}: "
            raise ConfigError("there is nothing to measure on", expected=what + kinds, fix="add --data PATH")


# Which settings mean something for which task, beside those that always do; the rest are tasks with questions.
_SETTINGS = {
    **dict.fromkeys(TEXT_TASKS, ("context_tokens", "stride_tokens")),
    "classification": ("text_field", "label_field", "answers"),
    "tagging": ("answers",),
    "translation": ("references", "beams", "answers"),
}
_OF_QUESTIONS = ("shots", "shots_data", "answers")


def check_settings(config: EvaluateConfig, task: str) -> None:
    """Raises `ConfigError` for a task that there is not, and for settings that mean nothing for it."""
    if task not in _SETTINGS:
        find_task(task, (*PURPOSES, *TEXT_TASKS))
    meant = _SETTINGS.get(task, _OF_QUESTIONS)
    for name in sorted({name for names in (*_SETTINGS.values(), _OF_QUESTIONS) for name in names} - {*meant}):
        if getattr(config, name) is not None:
            raise ConfigError(f"{name} means nothing for {task}", fix=f"leave {name} out")


def chosen_task(config: EvaluateConfig) -> str:
    """The task that is named, else what the model is for; known before any weight is read.

    Raises `Unsupported` for a purpose that is not the model's, `ConfigError` as `check_settings` does.
    """
    purpose = purpose_of_folder(saved_folder(config.model))
    if config.task in PURPOSES and config.task != purpose:
        raise Unsupported(
            f"the model is not for {config.task}",
            received=f"{config.model}: " + ("a language model" if purpose is None else f"made for {purpose}"),
            expected=f"a model that was trained for {config.task}",
            fix="leave --task out: the model is then measured on what it is for",
        )
    task = config.task or purpose or TEXT_TASKS[0]
    check_settings(config, task)
    return task


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """`{"task", "metrics": {name: figure}, "count", "settings"}`, and of examples `"intervals": {name: [low, high]}`.

    Counted are scored tokens of text, or examples; intervals are at 95 %, those of a bootstrap over examples but where
    it is said otherwise.

    Raises `UserError` before any work where the model cannot be scored so, or the data cannot be read.
    """
    for path in (config.output, config.answers):
        if path is not None and not path.absolute().parent.is_dir():
            raise StorageError("there is no folder to write this file to", received=path, fix="make the folder first")
    task = chosen_task(config)
    if task in PURPOSES:
        result = _of_examples(config, cast(Purpose, task))
    elif task in TEXT_TASKS:
        result = _of_text(config, task)
    else:
        result = _of_questions(config, find_task(task))
    result["settings"] = {"model": str(config.model), "data": str(config.data), **result["settings"]}
    result["settings"]["dtype"] = config.dtype
    if config.output is not None:
        replace_file(config.output, json.dumps(result, indent=2).encode() + b"\n")
    return result


def _of_text(config: EvaluateConfig, task: str) -> dict[str, Any]:
    assert config.data is not None
    model = load(config.model, device=config.device, dtype=config.dtype)
    measure = evaluate_bits_per_byte if task == TEXT_TASKS[0] else evaluate_perplexity
    return measure(
        model,
        config.data,
        context_tokens=config.context_tokens,
        stride_tokens=config.stride_tokens,
        limit=config.limit,
        encoding=config.encoding,
    )


# What models are for -------------------------------------------------------------------------------------------------


def _of_examples(config: EvaluateConfig, purpose: Purpose) -> dict[str, Any]:
    """The data is read whole, and whatever is wrong with it told, before the model is."""
    assert config.data is not None
    shared: dict[str, Any] = {"limit": config.limit, "silent": False}
    if purpose == "classification":
        label_field = config.label_field or "label"
        examples = read_labelled(
            config.data, text_field=config.text_field, label_field=label_field, encoding=config.encoding
        )
        result, answered = evaluate_classification(_loaded(config), examples, keep=config.answers is not None, **shared)
    elif purpose == "tagging":
        file = read_conll(config.data, encoding=config.encoding)
        result, answered = evaluate_tagging(_loaded(config), file, config.data, **shared)
    else:
        pairs = read_references(config.data, config.references, encoding=config.encoding)
        result, answered = evaluate_translation(_loaded(config), pairs, beams=config.beams, **shared)
        result["settings"]["references"] = None if config.references is None else str(config.references)
    if config.answers is not None:
        _write_answers(config.answers, answered)
    return result


def _loaded(config: EvaluateConfig) -> LocalModel:
    """The model. Raises `Unsupported` where it has no tokenizer to read the examples with."""
    model = load(config.model, device=config.device, dtype=config.dtype)
    text_tokenizer(model, config.data)
    return model


# Tasks ---------------------------------------------------------------------------------------------------------------


def _of_questions(config: EvaluateConfig, task: Task) -> dict[str, Any]:
    assert config.data is not None
    model = load(config.model, device=config.device, dtype=config.dtype)
    records = read_task(config.data, task)
    pool = None if config.shots_data is None else read_task(config.shots_data, task)
    method = "pseudo" if model.architecture.kind == MASKED else "causal"
    asked = cast(LanguageModel, model)
    found = run_task(
        asked, task, records, limit=config.limit, shots=config.shots, pool=pool, method=method, silent=False
    )
    if config.answers is not None:
        _write_answers(config.answers, found.answered)
    settings: dict[str, Any] = {
        "shots": found.shots,
        "limit": config.limit,
        "cut_questions": found.cut,
        "confidence": 0.95,
    }
    if found.shots:
        settings |= {"shots_data": str(config.shots_data or config.data), "shots_seed": SHOT_SEED}
    if task.method == "choose":
        settings["scoring"] = method
    else:
        settings["max_new_tokens"] = longest_answer(asked, task.max_new_tokens)
    return {
        "task": task.name,
        "metrics": found.metrics,
        "intervals": {name: [interval.low, interval.high] for name, interval in found.intervals.items()},
        "count": len(found.answered),
        "settings": settings,
    }


def _write_answers(path: Path, answered: Sequence[Any]) -> None:
    lines = [json.dumps(asdict(one), ensure_ascii=False) for one in answered]
    replace_file(path, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
