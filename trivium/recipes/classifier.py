"""The network of a classifier to train from nothing: what may be asked of it, and how it is built."""

import dataclasses
import functools
from typing import Any

from torch import nn

from trivium.errors import ConfigError, Unsupported
from trivium.lm.classifying import Method
from trivium.models import Architecture, architecture
from trivium.recipes.building import build_within_memory
from trivium.recipes.language_model import ModelConfig, build_model, check_model
from trivium.recipes.training import require_at_least

_HEADS = ("bilstm", "text_cnn")
_LEFT_TO_RIGHT = ("decoder", "recurrent")
_WINDOWS = (3, 4, 5)  # Kim 2014, section 3.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """The network and its size."""

    architecture: str | None = None
    """bilstm or text_cnn for a head, else a language model that reads left to right: rnn, gru, lstm, gpt2, llama; null
    for bilstm, or lstm."""
    width: int = 192
    """Width of the layers, of bilstm both directions together; of text_cnn, filters of each of its three windows."""
    layers: int = 1
    """Number of layers."""
    heads: int | None = None
    """Attention heads of gpt2 and llama; null for as many as make them 32 wide."""
    embedding_width: int | None = None
    """Width of the embedding; null for `width`."""
    dropout: float = 0.3
    """Share of activations that is dropped while training."""

    def __post_init__(self) -> None:
        require_at_least(1, width=self.width, layers=self.layers, embedding_width=self.embedding_width)
        if not 0 <= self.dropout < 1:  # NaN fails every comparison
            raise ConfigError("dropout must be at least 0 and below 1", received=self.dropout)

    def name(self, method: Method) -> str:
        """The architecture asked for, or the usual one of the method."""
        return self.architecture or ("bilstm" if method == "head" else "lstm")


def check_classifier(config: ClassifierConfig, method: Method) -> Architecture:
    """The row of the architecture. Raises `ConfigError` or `Unsupported` for what it cannot be, whatever the texts."""
    entry = architecture(config.name(method))
    if method != "head":
        if entry.kind not in _LEFT_TO_RIGHT:
            raise _unfit(entry, method, "a language model that reads left to right, such as lstm or gpt2", "head")
        return check_model(_language_model(config, method))
    if entry.name not in _HEADS:
        raise _unfit(entry, method, " or ".join(_HEADS), "discriminative or generative")
    if config.heads is not None:
        raise ConfigError(
            f"{entry.name} has no attention heads", received=f"heads {config.heads}", fix="leave heads out"
        )
    if entry.name == "text_cnn" and config.layers != 1:
        raise ConfigError("text_cnn has one layer", received=f"layers {config.layers}", fix="leave layers out")
    entry.config_class()(**_head_settings(config, entry, vocabulary_size=1, labels=("0", "1")))
    return entry


def build_classifier(
    config: ClassifierConfig,
    method: Method,
    *,
    vocabulary_size: int,
    labels: tuple[str, ...],
    context_tokens: int,
) -> nn.Module:
    """A new network with random weights. Raises `ConfigError` or `Unsupported` for what it cannot be."""
    entry = check_classifier(config, method)
    if method != "head":
        return build_model(_language_model(config, method), vocabulary_size, context_tokens)
    settings = _head_settings(config, entry, vocabulary_size=vocabulary_size, labels=labels)
    return build_within_memory(functools.partial(entry.model_class(), entry.config_class()(**settings)))


def _unfit(entry: Architecture, method: Method, expected: str, other: str) -> Unsupported:
    return Unsupported(
        "this architecture does not classify by this method",
        received=f"method {method}, architecture {entry.name}, of kind {entry.kind!r}",
        expected=expected,
        fix=f"set architecture to one of these, or method to {other}",
    )


def _language_model(config: ClassifierConfig, method: Method) -> ModelConfig:
    return ModelConfig(
        architecture=config.name(method),
        width=config.width,
        layers=config.layers,
        heads=config.heads,
        embedding_width=config.embedding_width,
        dropout=config.dropout,
    )


def _head_settings(
    config: ClassifierConfig, entry: Architecture, *, vocabulary_size: int, labels: tuple[str, ...]
) -> dict[str, Any]:
    """The fields of the network's own configuration."""
    embedding = config.embedding_width or config.width
    settings: dict[str, Any] = {"vocabulary_size": vocabulary_size, "labels": labels, "dropout": config.dropout}
    if entry.name == "text_cnn":
        filters = (config.width,) * len(_WINDOWS)
        return settings | {"width": embedding, "windows": _WINDOWS, "filters": filters}
    return settings | {"width": config.width, "layers": config.layers, "embedding_width": embedding}
