"""Measures a causal model on text it has not seen: bits per byte, loss and perplexity, each token scored once."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivium.checkpoints.folder import replace_file
from trivium.data.documents import read_documents
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, TokenizerError, Unsupported
from trivium.evaluation.bits_per_byte import bits_per_byte, store_of_texts
from trivium.generation.decode import context_limit
from trivium.lm.load import load
from trivium.lm.local import LocalModel

_UNLIMITED_WINDOW = 1024  # for models without a longest context


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured, on what, and how much context each token sees."""

    model: Path
    """Folder of a model, or of a run (its best checkpoint)."""
    data: Path
    """A text file, a folder of text, or a folder that `trivium prepare` wrote (its validation part)."""
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
        for name in ("context_tokens", "stride_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is too small", received=value, expected="at least 1")


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """`{"task", "metrics": {"bits_per_byte", "loss", "perplexity"}, "count": scored tokens, "settings"}`.

    Raises `UserError` before any work where the model cannot be scored so, or the data cannot be read.
    """
    model = load(config.model, device=config.device, dtype=config.dtype)
    if model.architecture.kind not in ("decoder", "recurrent"):
        raise Unsupported(
            "bits per byte needs a model that reads from left to right",
            received=f"{model.architecture.name}, an architecture of kind {model.architecture.kind!r}",
            expected="a decoder or a recurrent language model",
        )
    window = _window(config, model)
    stride = config.stride_tokens or max(1, window // 2)
    store = _store(config, model)
    found = bits_per_byte(model.network, store, context_tokens=window, stride_tokens=stride)
    result = {
        "task": "bits_per_byte",
        "metrics": {"bits_per_byte": found.bits_per_byte, "loss": found.loss, "perplexity": found.perplexity},
        "count": found.tokens,
        "settings": {
            "model": str(config.model),
            "data": str(config.data),
            "documents": store.num_documents,
            "bytes": found.bytes,
            "context_tokens": window,
            "stride_tokens": stride,
            "dtype": config.dtype,
        },
    }
    if config.output is not None:
        replace_file(config.output, json.dumps(result, indent=2).encode() + b"\n")
    return result


def _window(config: EvaluateConfig, model: LocalModel) -> int:
    if config.context_tokens is not None:
        return config.context_tokens
    return context_limit(model.network) or model.config.context_tokens or _UNLIMITED_WINDOW


def _store(config: EvaluateConfig, model: LocalModel) -> TokenStore:
    vocabulary_size = model.config.vocabulary_size
    for folder in (config.data, config.data / "validation"):
        if (folder / "shards.json").is_file():
            store = TokenStore.open(folder)
            if store.vocabulary_size > vocabulary_size:
                raise TokenizerError(
                    "this text was prepared with another vocabulary than the model's",
                    received=f"{store.vocabulary_size} ids in {folder}",
                    expected=f"at most {vocabulary_size}",
                    fix="give the text itself, or prepare it with the model's tokenizer",
                )
            return store
    if model.tokenizer is None:
        raise Unsupported(
            "the model has no tokenizer, so text cannot be read",
            received=config.data,
            fix="copy tokenizer.json into the model's folder, or give prepared shards",
        )
    documents, _ = read_documents([config.data], encoding=config.encoding)
    return store_of_texts([document.text for document in documents], model.tokenizer, vocabulary_size)
