"""The network of a tagger to train from nothing: what may be asked of it, and how it is built."""

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
_WIDTH, _DROPOUT, _EMBEDDING_WIDTH = 200, 0.5, 100  # of a BiLSTM
_ENCODER_WIDTH = 192


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaggerConfig:
    """The architecture and its size."""

    architecture: str = "bilstm"
    """bilstm, or an encoder with a head for tags, such as bert."""
    embedding_width: int | None = None
    """Width of the embedding of a bilstm; null for 100."""
    width: int | None = None
    """Width of every layer; null for 200 of a bilstm, both directions together, and for 192 of an encoder."""
    layers: int | None = None
    """Number of layers; null for 1 of a bilstm, with both directions, and for 4 of an encoder."""
    heads: int | None = None
    """Attention heads of an encoder; null for as many as make them 32 wide."""
    dropout: float | None = None
    """Share of activations that is dropped while training; null for 0.5 of a bilstm and 0.1 of an encoder."""
    crf: bool | None = None
    """Judge the tags of a sentence together, by a conditional random field; null for true of a bilstm, which alone has
    one."""


def check_tagger(config: TaggerConfig) -> Architecture:
    """The row of the architecture. Raises `ConfigError` or `Unsupported` for what a tagger cannot be, whatever the
    sentences."""
    entry = architecture(config.architecture)
    if entry.name != _RECURRENT and not is_encoder(entry, "tagging"):
        raise Unsupported(
            "tagging needs an architecture with a head for tags",
            received=f"{entry.name}, of kind {entry.kind!r}",
            expected=", ".join((_RECURRENT, *encoders_with("tagging"))),
        )
    require_at_least(1, embedding_width=config.embedding_width, width=config.width, layers=config.layers)
    if config.dropout is not None and not 0 <= config.dropout < 1:  # NaN fails every comparison
        raise ConfigError("dropout must be at least 0 and below 1", received=config.dropout)
    absent = {"heads": config.heads} if entry.name == _RECURRENT else {"crf": config.crf or None}
    absent |= {} if entry.name == _RECURRENT else {"embedding_width": config.embedding_width}
    for name, value in absent.items():
        if value is not None:
            raise ConfigError(f"{entry.name} has no {name}", received=value, fix="leave it out")
    if entry.name == _RECURRENT:
        _settings(config, 1, ("O",))
    else:
        check_encoder(entry, _shape(config))
    return entry


def build_tagger(config: TaggerConfig, vocabulary_size: int, labels: tuple[str, ...], context_tokens: int) -> nn.Module:
    """A new model with random weights for words in ``vocabulary_size`` pieces. Raises `ConfigError`."""
    entry = check_tagger(config)
    if entry.name == _RECURRENT:
        return build_within_memory(functools.partial(BiLSTM, _settings(config, vocabulary_size, labels)))
    return build_encoder(
        entry,
        _shape(config),
        head="tagging",
        labels=labels,
        vocabulary_size=vocabulary_size,
        context_tokens=context_tokens,
    )


def reads_around(config: TaggerConfig) -> bool:
    """Whether it wants tokens to stand around a sentence."""
    return architecture(config.architecture).name != _RECURRENT


def _shape(config: TaggerConfig) -> EncoderShape:
    return EncoderShape(
        width=config.width or _ENCODER_WIDTH, layers=config.layers, heads=config.heads, dropout=config.dropout
    )


def _settings(config: TaggerConfig, vocabulary_size: int, labels: tuple[str, ...]) -> BiLSTMConfig:
    return BiLSTMConfig(
        vocabulary_size=vocabulary_size,
        embedding_width=config.embedding_width or _EMBEDDING_WIDTH,
        width=config.width or _WIDTH,
        layers=config.layers or 1,
        dropout=_DROPOUT if config.dropout is None else config.dropout,
        head="tagging",
        labels=labels,
        crf=config.crf is not False,
    )
