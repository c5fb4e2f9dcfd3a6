"""Measures a model: on text it has not seen (bits per byte, perplexity), or on a task with right answers."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from trivium.checkpoints.folder import replace_file
from trivium.data.documents import read_documents
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, DataError, StorageError, TokenizerError, Unsupported
from trivium.evaluation.bits_per_byte import bits_per_byte, store_of_texts
from trivium.evaluation.perplexity import perplexity, pseudo_perplexity
from trivium.evaluation.tasks import Task, find_task, run_task
from trivium.evaluation.tasks.records import expected, read_task
from trivium.evaluation.tasks.run import SHOT_SEED, TaskResult
from trivium.evaluation.tasks.writing import longest_answer
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.lm.protocol import LanguageModel

TEXT_TASKS = ("bits_per_byte", "perplexity")
_LEFT_TO_RIGHT = ("decoder", "recurrent")
_MASKED = "encoder"
_UNLIMITED_WINDOW = 1024  # for models without a longest context


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured, on what, and how much context each token sees."""

    model: Path
    """Folder of a model, or of a run (its best checkpoint)."""
    data: Path | None = None
    """A text file, a folder of text, or a folder that `trivium prepare` wrote (its validation part); for a task, the
    file of its examples."""
    task: str = "bits_per_byte"
    """bits_per_byte or perplexity of text; or cola, sst2, mrpc, rte, qnli, wnli, boolq, blimp, gsm8k, svamp, asked and
    scored as lm-evaluation-harness does."""
    limit: int | None = None
    """Only the first so many examples of a task (of each of BLiMP's kinds), or documents of a text."""
    shots: int | None = None
    """Solved examples shown before each question; the task's own number if not given (5 for gsm8k, else none)."""
    shots_data: Path | None = None
    """File that the solved examples are drawn from, such as the task's training part; the examples themselves, but for
    the one asked, if not given."""
    answers: Path | None = None
    """File to write every question of a task to, with what the model answered: one JSON a line."""
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
        for name, least in (("context_tokens", 1), ("stride_tokens", 1), ("limit", 1), ("shots", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is too small", received=value, expected=f"at least {least}")
        task = None if self.task in TEXT_TASKS else find_task(self.task, TEXT_TASKS)
        unused = ("shots", "shots_data", "answers") if task is None else ("context_tokens", "stride_tokens")
        for name in unused:
            if getattr(self, name) is not None:
                raise ConfigError(f"{name} means nothing for {self.task}", fix=f"leave {name} out")
        if self.data is None:
            kinds = "a text file, a folder of text or prepared data" if task is None else expected(task)
            raise ConfigError(
                "there is nothing to measure on", expected=f"for {self.task}: {kinds}", fix="add --data PATH"
            )


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """`{"task", "metrics": {name: figure}, "count", "settings"}`, and of a task `"intervals": {name: [low, high]}`.

    Counted are scored tokens of text, or examples of a task; intervals are those of a bootstrap over examples, at 95 %.

    Raises `UserError` before any work where the model cannot be scored so, or the data cannot be read.
    """
    for path in (config.output, config.answers):
        if path is not None and not path.absolute().parent.is_dir():
            raise StorageError("there is no folder to write this file to", received=path, fix="make the folder first")
    model = load(config.model, device=config.device, dtype=config.dtype)
    if config.task == "bits_per_byte":
        result = _bits_per_byte(config, model)
    elif config.task == "perplexity":
        result = _perplexity(config, model)
    else:
        result = _task(config, model, find_task(config.task))
    result["settings"] = {"model": str(config.model), "data": str(config.data), **result["settings"]}
    result["settings"]["dtype"] = config.dtype
    if config.output is not None:
        replace_file(config.output, json.dumps(result, indent=2).encode() + b"\n")
    return result


# Text ----------------------------------------------------------------------------------------------------------------


def _bits_per_byte(config: EvaluateConfig, model: LocalModel) -> dict[str, Any]:
    _require(model, "bits per byte needs a model that reads from left to right", *_LEFT_TO_RIGHT)
    window, stride = _windows(config, model)
    store = _store(config, model)
    found = bits_per_byte(model.network, store, context_tokens=window, stride_tokens=stride)
    return {
        "task": config.task,
        "metrics": {"bits_per_byte": found.bits_per_byte, "loss": found.loss, "perplexity": found.perplexity},
        "count": found.tokens,
        "settings": {
            "documents": store.num_documents,
            "bytes": found.bytes,
            "context_tokens": window,
            "stride_tokens": stride,
        },
    }


def _perplexity(config: EvaluateConfig, model: LocalModel) -> dict[str, Any]:
    """Of a masked model its pseudo-perplexity."""
    _require(model, "perplexity needs a model that reads from left to right, or a masked one", *_LEFT_TO_RIGHT, _MASKED)
    texts = _texts(config)
    if model.architecture.kind == _MASKED:
        if config.context_tokens is not None or config.stride_tokens is not None:
            raise ConfigError(
                "a masked model reads windows of its own size, one after another",
                fix="leave context_tokens and stride_tokens out",
            )
        name, windows = "pseudo_perplexity", {}
        found = pseudo_perplexity(cast(LanguageModel, model), texts)
    else:
        window, stride = _windows(config, model)
        name, windows = "perplexity", {"context_tokens": window, "stride_tokens": stride}
        found = perplexity(model.network, _tokenizer(config, model), texts, **windows)
    figures = {
        name: found.per_token,
        f"word_{name}": found.per_word,
        f"byte_{name}": found.per_byte,
        f"character_{name}": found.per_character,
        "loss": found.loss,
        "bits_per_byte": found.bits_per_byte,
    }
    return {
        "task": config.task,
        # A text without white space is one word, whose perplexity may be beyond any number: JSON has none for it.
        "metrics": {figure: value if math.isfinite(value) else None for figure, value in figures.items()},
        "count": found.tokens,
        "settings": {
            "documents": len(texts),
            "words": found.words,
            "bytes": found.bytes,
            "characters": found.characters,
            **windows,
        },
    }


def _require(model: LocalModel, what: str, *kinds: str) -> None:
    if model.architecture.kind not in kinds:
        raise Unsupported(
            what,
            received=f"{model.architecture.name}, an architecture of kind {model.architecture.kind!r}",
            expected=f"an architecture of kind {' or '.join(kinds)}",
        )


def _windows(config: EvaluateConfig, model: LocalModel) -> tuple[int, int]:
    """The window and its stride."""
    window = config.context_tokens or model.config.context_tokens or _UNLIMITED_WINDOW
    return window, config.stride_tokens or max(1, window // 2)


def _store(config: EvaluateConfig, model: LocalModel) -> TokenStore:
    vocabulary_size = model.config.vocabulary_size
    shards = _shards(config)
    if shards is None:
        return store_of_texts(_texts(config), _tokenizer(config, model), vocabulary_size)
    if config.limit is not None:
        raise ConfigError("prepared data is measured whole", received=f"limit={config.limit}", fix="leave limit out")
    store = TokenStore.open(shards)
    if store.vocabulary_size > vocabulary_size:
        raise TokenizerError(
            "this text was prepared with another vocabulary than the model's",
            received=f"{store.vocabulary_size} ids in {shards}",
            expected=f"at most {vocabulary_size}",
            fix="give the text itself, or prepare it with the model's tokenizer",
        )
    return store


def _shards(config: EvaluateConfig) -> Path | None:
    """The folder of tokens that the data is, if it is one."""
    assert config.data is not None
    folders = (config.data, config.data / "validation")
    return next((folder for folder in folders if (folder / "shards.json").is_file()), None)


def _texts(config: EvaluateConfig) -> list[str]:
    assert config.data is not None
    if _shards(config) is not None:
        raise DataError(
            "prepared data holds tokens, whose words and characters are not known",
            received=config.data,
            fix="give the text itself, or measure bits_per_byte, which tells perplexity too",
        )
    documents, _ = read_documents([config.data], encoding=config.encoding)
    return [document.text for document in documents][: config.limit]


def _tokenizer(config: EvaluateConfig, model: LocalModel) -> Any:
    if model.tokenizer is None:
        raise Unsupported(
            "the model has no tokenizer, so text cannot be read",
            received=config.data,
            fix="copy tokenizer.json into the model's folder, or give prepared shards",
        )
    return model.tokenizer


# Tasks ---------------------------------------------------------------------------------------------------------------


def _task(config: EvaluateConfig, model: LocalModel, task: Task) -> dict[str, Any]:
    assert config.data is not None
    records = read_task(config.data, task)
    pool = None if config.shots_data is None else read_task(config.shots_data, task)
    method = "pseudo" if model.architecture.kind == _MASKED else "causal"
    asked = cast(LanguageModel, model)
    found = run_task(
        asked, task, records, limit=config.limit, shots=config.shots, pool=pool, method=method, silent=False
    )
    if config.answers is not None:
        _write_answers(config.answers, task, found)
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


def _write_answers(path: Path, task: Task, found: TaskResult) -> None:
    lines: Sequence[str] = [json.dumps(asdict(one), ensure_ascii=False) for one in found.answered]
    replace_file(path, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
