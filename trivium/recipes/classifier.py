"""The network of a classifier to train from nothing: what may be asked of it, and how it is built.

All but language models read one text, or two that belong together; bilstm and encoders may estimate a number as well.
"""

import dataclasses
import functools
from typing import Any, Literal

from torch import nn

from trivium.checkpoints.transplant import heads_of
from trivium.errors import ConfigError, Unsupported
from trivium.lm.classifying import Method
from trivium.models import Architecture, architecture
from trivium.recipes.building import build_within_memory
from trivium.recipes.encoder import EncoderShape, build_encoder, check_encoder, encoders_with, is_encoder
from trivium.recipes.language_model import ModelConfig, build_model, check_model
from trivium.recipes.training import require_at_least

_HEADS = ("bilstm", "text_cnn")
_LEFT_TO_RIGHT = ("decoder", "recurrent")
_WINDOWS = (3, 4, 5)  # Kim 2014, section 3.1
_DROPOUT = 0.3

Head = Literal["classification", "regression"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """The network and its size."""

    architecture: str | None = None
    """bilstm, text_cnn or an encoder such as bert for a head, else a language model that reads left to right: rnn, gru,
    lstm, gpt2, llama; null for bilstm, or lstm."""
    width: int = 192
    """Width of the layers, of bilstm both directions together; of text_cnn, filters of each of its three windows."""
    layers: int | None = None
    """Number of layers; null for 1, and for 4 of an encoder."""
    heads: int | None = None
    """Attention heads of gpt2, llama and encoders; null for as many as make them 32 wide."""
    embedding_width: int | None = None
    """Width of the embedding; null for `width`."""
    dropout: float | None = None
    """Share of activations that is dropped while training; null for 0.3, and for 0.1 of an encoder."""

    def __post_init__(self) -> None:
        require_at_least(1, width=self.width, layers=self.layers, embedding_width=self.embedding_width)
        if self.dropout is not None and not 0 <= self.dropout < 1:  # NaN fails every comparison
            raise ConfigError("dropout must be at least 0 and below 1", received=self.dropout)

    def name(self, method: Method) -> str:
        """The architecture asked for, or the usual one of the method."""
        return self.architecture or ("bilstm" if method == "head" else "lstm")


def check_classifier(
    config: ClassifierConfig, method: Method, head: Head = "classification", *, pairs: bool = False
) -> Architecture:
    """The row of the architecture. Raises `ConfigError` or `Unsupported` for what it cannot be, whatever the texts."""
    entry = architecture(config.name(method))
    if method != "head":
        if entry.kind not in _LEFT_TO_RIGHT or pairs or head != "classification":
            raise _unfit(
                entry, method, "a language model that reads left to right and tells the label of a text", "head"
            )
        return check_model(_language_model(config, method))
    if is_encoder(entry, head):
        check_encoder(entry, _shape(config))
        return entry
    if entry.name not in _HEADS:
        raise _unfit(entry, method, ", ".join((*_HEADS, *encoders_with(head))), "discriminative or generative")
    if head != "classification" and head not in heads_of(entry.config_class()):
        raise Unsupported(
            f"{entry.name} tells labels and no numbers",
            received=f"head {head}",
            expected=", ".join(("bilstm", *encoders_with(head))),
            fix="set model.architecture to one of these, or give a base",
        )
    if config.heads is not None:
        raise ConfigError(
            f"{entry.name} has no attention heads", received=f"heads {config.heads}", fix="leave heads out"
        )
    if entry.name == "text_cnn" and config.layers not in (None, 1):
        raise ConfigError("text_cnn has one layer", received=f"layers {config.layers}", fix="leave layers out")
    entry.config_class()(**_head_settings(config, entry, head, vocabulary_size=1, labels=("0", "1")))
    return entry


def build_classifier(
    config: ClassifierConfig,
    method: Method,
    head: Head = "classification",
    *,
    vocabulary_size: int,
    labels: tuple[str, ...],
    context_tokens: int,
) -> nn.Module:
    """A new network with random weights. Raises `ConfigError` or `Unsupported` for what it cannot be."""
    entry = check_classifier(config, method, head)
    if method != "head":
        return build_model(_language_model(config, method), vocabulary_size, context_tokens)
    if is_encoder(entry, head):
        return build_encoder(
            entry,
            _shape(config),
            head=head,
            labels=labels,
            vocabulary_size=vocabulary_size,
            context_tokens=context_tokens,
        )
    settings = _head_settings(config, entry, head, vocabulary_size=vocabulary_size, labels=labels)
    return build_within_memory(functools.partial(entry.model_class(), entry.config_class()(**settings)))


def joins(config: ClassifierConfig, method: Method, head: Head, *, pairs: bool) -> bool:
    """Whether it reads texts as a post-processor joins them; bilstm and text_cnn read single texts to be labelled as
    they are, after a token that begins them."""
    return method == "head" and (pairs or head != "classification" or config.name(method) not in _HEADS)


def _shape(config: ClassifierConfig) -> EncoderShape:
    return EncoderShape(width=config.width, layers=config.layers, heads=config.heads, dropout=config.dropout)


def _dropout(config: ClassifierConfig) -> float:
    return _DROPOUT if config.dropout is None else config.dropout


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
        layers=config.layers or 1,
        heads=config.heads,
        embedding_width=config.embedding_width,
        dropout=_dropout(config),
    )


def _head_settings(
    config: ClassifierConfig, entry: Architecture, head: Head, *, vocabulary_size: int, labels: tuple[str, ...]
) -> dict[str, Any]:
    """The fields of the network's own configuration."""
    embedding = config.embedding_width or config.width
    settings: dict[str, Any] = {"vocabulary_size": vocabulary_size, "labels": labels, "dropout": _dropout(config)}
    if entry.name == "text_cnn":
        filters = (config.width,) * len(_WINDOWS)
        return settings | {"width": embedding, "windows": _WINDOWS, "filters": filters}
    settings["head"] = head
    return settings | {"width": config.width, "layers": config.layers or 1, "embedding_width": embedding}
