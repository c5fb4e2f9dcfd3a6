"""Measures a model: on what it is for, on text it has not seen, or on a task with right answers.

    evaluate(EvaluateConfig(model=Path("runs/classification"), data=Path("test.csv")))

A model that labels, tags, answers, estimates, embeds, translates or sums up is measured as such, a reward model on what
people said of answers, any other by its bits per byte, unless a task is named.
"""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from trivium.checkpoints.folder import replace_file
from trivium.data.columns import columns_of
from trivium.data.conll import read_conll
from trivium.data.labelled import LabelledText, read_labelled
from trivium.data.preferences.read import read_judged
from trivium.data.questions import read_questions
from trivium.errors import ConfigError, StorageError, Unsupported
from trivium.evaluation.tasks import Task, find_task, run_task
from trivium.evaluation.tasks.records import read_task
from trivium.evaluation.tasks.run import SHOT_SEED
from trivium.evaluation.tasks.writing import longest_answer
from trivium.lm.hosted.address import is_service
from trivium.lm.load import load, purpose_of
from trivium.lm.local import LocalModel
from trivium.lm.protocol import LanguageModel
from trivium.lm.purpose import PURPOSES, Purpose
from trivium.lm.reward import is_reward, load_reward
from trivium.recipes.evaluate_answering import evaluate_answering
from trivium.recipes.evaluate_classification import evaluate_classification
from trivium.recipes.evaluate_config import ALSO, MEASURED, TEXT_TASKS, EvaluateConfig, check_settings
from trivium.recipes.evaluate_embedding import evaluate_embedding
from trivium.recipes.evaluate_regression import evaluate_regression
from trivium.recipes.evaluate_reward import evaluate_reward
from trivium.recipes.evaluate_summarisation import evaluate_summarisation, read_documents
from trivium.recipes.evaluate_tagging import evaluate_tagging
from trivium.recipes.evaluate_text import (
    MASKED,
    evaluate_bits_per_byte,
    evaluate_perplexity,
    text_tokenizer,
)
from trivium.recipes.evaluate_translation import evaluate_translation, read_references

__all__ = ["TEXT_TASKS", "EvaluateConfig", "chosen_task", "evaluate"]

Measured = tuple[dict[str, Any], Sequence[Any]]


def chosen_task(config: EvaluateConfig) -> str:
    """The task that is named, else what the model is for; known before any weight is read.

    Raises `Unsupported` for a purpose that is not the model's, `ConfigError` as `check_settings` does.
    """
    purpose = purpose_of(config.model)
    if config.task in PURPOSES and config.task != purpose and (purpose, config.task) not in ALSO:
        raise Unsupported(
            f"the model is not for {config.task}",
            received=f"{config.model}: " + ("a language model" if purpose is None else f"made for {purpose}"),
            expected=f"a model that was trained for {config.task}",
            fix="leave --task out: the model is then measured on what it is for",
        )
    task = config.task or (purpose if purpose in MEASURED else TEXT_TASKS[0])
    check_settings(config, task)
    if is_service(str(config.model)) and (task in TEXT_TASKS or task in PURPOSES):
        raise Unsupported(
            "a service can only be put questions: what this needs of a model, it does not give",
            received=f"{task} of {config.model}",
            expected="a task that is asked, such as gsm8k or boolq",
            fix="name one with --task, or measure a model on this machine",
        )
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
    result, answered = _MEASURES[purpose](config, {"limit": config.limit, "silent": False})
    if config.answers is not None:
        _write_answers(config.answers, answered)
    return result


def _labels(config: EvaluateConfig, shared: dict[str, Any]) -> Measured:
    examples = _labelled(config, text_field=config.text_field, second_field=config.second_field)
    return evaluate_classification(_loaded(config), examples, keep=config.answers is not None, **shared)


def _numbers(config: EvaluateConfig, shared: dict[str, Any]) -> Measured:
    if is_reward(config.model):
        _require_unnamed(config)
        judged = read_judged(_data(config), columns=columns_of(config.columns) or None)
        return evaluate_reward(load_reward(config.model, device=config.device, dtype=config.dtype), judged, **shared)
    examples = _labelled(config, text_field=config.text_field, second_field=config.second_field)
    _require_numbers(examples)
    return evaluate_regression(_loaded(config), examples, **shared)


def _require_unnamed(config: EvaluateConfig) -> None:
    """Raises `ConfigError` for fields of texts with numbers, where answers are read."""
    for name in ("text_field", "second_field", "label_field"):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"{name} means nothing for a reward model",
                received=getattr(config, name),
                fix="say with columns which fields are meant: columns chosen=better rejected=worse",
            )


def _likeness(config: EvaluateConfig, shared: dict[str, Any]) -> Measured:
    examples = _labelled(
        config,
        text_field=config.text_field or "sentence1",
        second_field=config.second_field or "sentence2",
        label_field="score",
    )
    _require_numbers(examples)
    return evaluate_embedding(_loaded(config), examples, **shared)


def _labelled(
    config: EvaluateConfig, *, text_field: str | None, second_field: str | None, label_field: str = "label"
) -> list[LabelledText]:
    return read_labelled(
        _data(config),
        text_field=text_field,
        second_field=second_field,
        label_field=config.label_field or label_field,
        columns=config.columns,
        encoding=config.encoding,
    )


def _require_numbers(examples: Sequence[LabelledText]) -> None:
    """Raises `DataError` for the first label that is no number."""
    for example in examples:
        _ = example.number


def _tags(config: EvaluateConfig, shared: dict[str, Any]) -> Measured:
    file = read_conll(_data(config), encoding=config.encoding)
    return evaluate_tagging(_loaded(config), file, _data(config), **shared)


def _answers(config: EvaluateConfig, shared: dict[str, Any]) -> Measured:
    questions = read_questions(_data(config), encoding=config.encoding)
    return evaluate_answering(_loaded(config), questions, **shared)


def _translations(config: EvaluateConfig, shared: dict[str, Any]) -> Measured:
    pairs = read_references(_data(config), config.references, encoding=config.encoding)
    result, answered = evaluate_translation(_loaded(config), pairs, beams=config.beams, **shared)
    result["settings"]["references"] = None if config.references is None else str(config.references)
    return result, answered


def _summaries(task: str, config: EvaluateConfig, shared: dict[str, Any]) -> Measured:
    documents = read_documents(
        _data(config), text_field=config.text_field, summary_field=config.label_field, encoding=config.encoding
    )
    return evaluate_summarisation(_loaded(config), documents, task=task, beams=config.beams, **shared)


def _data(config: EvaluateConfig) -> Path:
    assert config.data is not None
    return config.data


_MEASURES: dict[str, Callable[[EvaluateConfig, dict[str, Any]], Measured]] = {
    "classification": _labels,
    "regression": _numbers,
    "embedding": _likeness,
    "tagging": _tags,
    "answering": _answers,
    "translation": _translations,
    "summarisation": functools.partial(_summaries, "summarisation"),
    "text_to_text": functools.partial(_summaries, "text_to_text"),
}


def _loaded(config: EvaluateConfig) -> LocalModel:
    """The model. Raises `Unsupported` where it has no tokenizer to read the examples with."""
    model = load(config.model, device=config.device, dtype=config.dtype)
    text_tokenizer(model, config.data)
    return model


# Tasks ---------------------------------------------------------------------------------------------------------------


def _of_questions(config: EvaluateConfig, task: Task) -> dict[str, Any]:
    assert config.data is not None
    model = load(str(config.model), device=config.device, dtype=config.dtype)
    records = read_task(config.data, task)
    pool = None if config.shots_data is None else read_task(config.shots_data, task)
    method = "pseudo" if isinstance(model, LocalModel) and model.architecture.kind == MASKED else "causal"
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
