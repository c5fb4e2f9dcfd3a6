"""A Transformer that reads whole texts, with a head, to be trained from nothing: one set of sizes for all of them."""

import dataclasses
import functools
from typing import Any

from torch import nn

from trivium.checkpoints.transplant import heads_of
from trivium.errors import ConfigError
from trivium.models import ARCHITECTURES, Architecture
from trivium.recipes.building import build_within_memory
from trivium.recipes.training import require_at_least
from trivium.tokenizers import SpecialTokens
from trivium.tokenizers.special import NEEDS_UNKNOWN

_KINDS = ("encoder", "encoder-decoder")
_LAYERS, _DROPOUT, _HEAD_WIDTH = 4, 0.1, 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """What is asked of one; each architecture takes what it has."""

    width: int
    """Width of the residual stream."""
    layers: int | None = None
    """Number of blocks, of an encoder-decoder in each of its stacks; None for 4."""
    heads: int | None = None
    """Attention heads; None for as many as make them 32 wide."""
    dropout: float | None = None
    """Share of activations, and of attention weights, that is dropped while training; None for 0.1."""


def special_tokens(kind: str) -> SpecialTokens:
    """Of a vocabulary of this kind that such a network reads: [CLS] and [SEP] stand around a text, or two."""
    unknown = "<unk>" if kind in NEEDS_UNKNOWN else None
    return SpecialTokens(unk=unknown, cls="[CLS]", sep="[SEP]", roles=())


def encoders_with(head: str) -> list[str]:
    """The names of the architectures that read a whole text and may have this head."""
    return [row.name for row in ARCHITECTURES if is_encoder(row, head)]


def is_encoder(entry: Architecture, head: str) -> bool:
    """Whether it reads a whole text and may have this head."""
    return entry.kind in _KINDS and head in heads_of(entry.config_class())


def check_encoder(entry: Architecture, shape: EncoderShape) -> None:
    """Raises `ConfigError` for sizes that cannot be."""
    require_at_least(1, width=shape.width, layers=shape.layers, heads=shape.heads)
    heads = _heads(shape)
    if shape.width % heads:
        raise ConfigError(
            "the heads do not divide the width",
            received=f"width {shape.width}, heads {heads}",
            fix=f"set width to a multiple of {heads}",
        )
    encoder_config(entry, shape, head="none", labels=(), vocabulary_size=8, context_tokens=8)


def build_encoder(entry: Architecture, shape: EncoderShape, **fields: Any) -> nn.Module:
    """A new network with random weights; ``fields`` as of `encoder_config`. Raises `ConfigError`."""
    config = encoder_config(entry, shape, **fields)
    return build_within_memory(functools.partial(entry.model_class(), config))


def encoder_config(
    entry: Architecture,
    shape: EncoderShape,
    *,
    head: str,
    labels: tuple[str, ...],
    vocabulary_size: int,
    context_tokens: int,
) -> Any:
    """The architecture's own configuration; where it has more fields they keep their usual values."""
    dropout = _DROPOUT if shape.dropout is None else shape.dropout
    asked: dict[str, Any] = {
        "vocabulary_size": vocabulary_size,
        "width": shape.width,
        "embedding_width": shape.width,
        "layers": shape.layers or _LAYERS,
        "heads": _heads(shape),
        "head_width": shape.width // _heads(shape),
        "inner_width": 4 * shape.width,
        "context_tokens": context_tokens,
        "token_types": 2,
        "dropout": dropout,
        "attention_dropout": dropout,
        "head": head,
        "labels": labels,
    }
    kind = entry.config_class()
    has = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in asked.items() if name in has})


def _heads(shape: EncoderShape) -> int:
    return shape.heads or max(1, shape.width // _HEAD_WIDTH)
