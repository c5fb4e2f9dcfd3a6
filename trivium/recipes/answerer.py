"""The network that finds answers, to train from nothing: what may be asked of it, and how it is built."""

import dataclasses
import functools

from torch import nn

from trivium.errors import ConfigError, Unsupported
from trivium.models import Architecture, architecture
from trivium.models.bilstm import BiLSTM, BiLSTMConfig
from trivium.recipes.building import build_within_memory
from trivium.recipes.encoder import EncoderShape, build_encoder, check_encoder, encoders_with, is_encoder
from trivium.recipes.training import require_at_least

_RECURRENT = "bilstm"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswererConfig:
    """The architecture and its size."""

    architecture: str = "bilstm"
    """bilstm, or an encoder with a head for spans, such as bert."""
    width: int = 192
    """Width of every layer, of a bilstm both directions together."""
    layers: int | None = None
    """Number of layers; null for 2 of a bilstm, and for 4 of an encoder."""
    heads: int | None = None
    """Attention heads of an encoder; null for as many as make them 32 wide."""
    dropout: float | None = None
    """Share of activations that is dropped while training; null for 0.3 of a bilstm and 0.1 of an encoder."""


def check_answerer(config: AnswererConfig) -> Architecture:
    """The row of the architecture. Raises `ConfigError` or `Unsupported` for what it cannot be."""
    entry = architecture(config.architecture)
    require_at_least(1, width=config.width, layers=config.layers, heads=config.heads)
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise ConfigError("dropout must be at least 0 and below 1", received=config.dropout)
    if is_encoder(entry, "span"):
        check_encoder(entry, _shape(config))
    elif entry.name != _RECURRENT:
        raise Unsupported(
            "finding answers needs an architecture with a head for spans",
            received=f"{entry.name}, of kind {entry.kind!r}",
            expected=", ".join((_RECURRENT, *encoders_with("span"))),
        )
    elif config.heads is not None:
        raise ConfigError(f"{entry.name} has no heads", received=config.heads, fix="leave it out")
    else:
        _recurrent(config, 1)
    return entry


def build_answerer(config: AnswererConfig, vocabulary_size: int, context_tokens: int) -> nn.Module:
    """A new network with random weights. Raises `ConfigError` or `Unsupported` for what it cannot be."""
    entry = check_answerer(config)
    if entry.name == _RECURRENT:
        return build_within_memory(functools.partial(BiLSTM, _recurrent(config, vocabulary_size)))
    sizes = {"vocabulary_size": vocabulary_size, "context_tokens": context_tokens}
    return build_encoder(entry, _shape(config), head="span", labels=(), **sizes)


def _shape(config: AnswererConfig) -> EncoderShape:
    return EncoderShape(width=config.width, layers=config.layers, heads=config.heads, dropout=config.dropout)


def _recurrent(config: AnswererConfig, vocabulary_size: int) -> BiLSTMConfig:
    return BiLSTMConfig(
        vocabulary_size=vocabulary_size,
        embedding_width=config.width,
        width=config.width,
        layers=config.layers or 2,
        dropout=0.3 if config.dropout is None else config.dropout,
        head="span",
        labels=(),
    )
