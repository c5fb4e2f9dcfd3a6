"""The encoder-decoders that `translation` trains: one set of sizes for all, each architecture taking what it has."""

import dataclasses
import functools
from typing import Any, Literal

from torch import nn

from trivium.errors import ConfigError, Unsupported
from trivium.models import ARCHITECTURES, Architecture, architecture
from trivium.recipes.building import build_within_memory
from trivium.recipes.training import require_at_least
from trivium.tokenizers import Tokenizer

_SETTINGS: dict[str, tuple[str, ...]] = {
    "sutskever": ("embedding_width", "layers", "tied"),
    "cho": ("embedding_width",),
    "seq2seq": ("embedding_width", "layers", "tied"),
    "luong": ("embedding_width", "layers", "score", "input_feeding", "direction", "tied"),
    "transformer": ("layers", "heads", "inner_width", "norm_first", "tied"),
    "t5": ("layers", "heads", "inner_width", "tied"),
    "bart": ("layers", "heads", "inner_width"),
}
"""What each architecture has beside its width and dropout."""
WRITERS = tuple(_SETTINGS)
"""The architectures that `build_translator` builds."""
_ATTENDING = "encoder-decoder"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslatorConfig:
    """The architecture and its size."""

    architecture: str = "luong"
    """sutskever or cho (one fixed context), seq2seq (Bahdanau's attention), luong, transformer, t5 or bart."""
    width: int = 256
    """Width of the recurrent layers, or of the residual stream."""
    embedding_width: int | None = None
    """Width of the embedding of a recurrent model; null for that of its layers."""
    layers: int | None = None
    """Layers of the encoder, and of the decoder; null for 3 of a Transformer, else 1."""
    heads: int | None = None
    """Attention heads of a Transformer; null for as many as make them 32 wide."""
    inner_width: int | None = None
    """Width of a Transformer's feed-forward layers; null for four times its width."""
    norm_first: bool = False
    """The norm before each sub-layer of a Transformer instead of after it: trains with a higher rate and less care."""
    score: Literal["dot", "general", "concat"] = "general"
    """How Luong's attention compares (section 3.1 there)."""
    input_feeding: bool = False
    """Luong's decoder is also given where it looked before: better aligned, and slower by half or more."""
    direction: Literal["forward", "backward", "both"] = "both"
    """How Luong's encoder reads."""
    dropout: float = 0.2
    """Share of activations that is dropped while training."""
    tied: bool = True
    """The output weights are the embedding, where the widths allow it."""


def check_translator(config: TranslatorConfig) -> Architecture:
    """The row of the architecture. Raises `ConfigError` or `Unsupported` for what it cannot be."""
    entry = architecture(config.architecture)
    if entry.name not in _SETTINGS:
        raise Unsupported(
            "translation needs an encoder and a decoder",
            received=f"{entry.name}, of kind {entry.kind!r}",
            expected=", ".join(each.name for each in ARCHITECTURES if each.name in _SETTINGS),
        )
    require_at_least(
        1,
        width=config.width,
        embedding_width=config.embedding_width,
        layers=config.layers,
        heads=config.heads,
        inner_width=config.inner_width,
    )
    if not 0 <= config.dropout < 1:
        raise ConfigError("dropout must be at least 0 and below 1", received=config.dropout)
    heads = _heads(config)
    if entry.kind == _ATTENDING and config.width % heads:
        raise ConfigError(
            "the heads do not divide the width",
            received=f"width {config.width}, heads {heads}",
            fix=f"set width to a multiple of {heads}",
        )
    usual = TranslatorConfig()
    theirs = _SETTINGS[entry.name]
    for field in dataclasses.fields(TranslatorConfig):
        given = getattr(config, field.name)
        if given != getattr(usual, field.name) and field.name not in ("architecture", "dropout", "width", *theirs):
            raise ConfigError(
                f"{entry.name} has no {field.name}", received=given, expected=", ".join(theirs), fix="leave it out"
            )
    return entry


def build_translator(config: TranslatorConfig, tokenizer: Tokenizer, context_tokens: int = 1024) -> nn.Module:
    """A new model with random weights for the pieces of ``tokenizer``; where positions are learnt there are
    ``context_tokens`` of them. Raises `ConfigError` for impossible sizes."""
    entry = check_translator(config)
    settings: dict[str, Any] = {
        "vocabulary_size": tokenizer.vocabulary_size,
        "width": config.width,
        "dropout": config.dropout,
    }
    if entry.kind == _ATTENDING:
        return _built(entry, settings | _attending(config, entry, tokenizer, context_tokens))
    settings |= {"embedding_width": config.embedding_width or config.width, "start_id": tokenizer.bos_id}
    if entry.name != "cho":
        settings |= {"layers": config.layers or 1, "tied": config.tied and _can_tie(config, entry.name)}
    if entry.name == "cho":
        settings["readout_width"] = max(1, config.width // 2)
    if entry.name == "seq2seq":
        settings["attention_width"] = config.width
    if entry.name == "luong":
        settings |= {"score": config.score, "input_feeding": config.input_feeding, "direction": config.direction}
    return _built(entry, settings)


def _attending(
    config: TranslatorConfig, entry: Architecture, tokenizer: Tokenizer, context_tokens: int
) -> dict[str, Any]:
    """The settings of attention, of those that the architecture has."""
    begins = tokenizer.eos_id if entry.name == "bart" else tokenizer.pad_id  # as BART's, Marian's and T5's decoders do
    asked: dict[str, Any] = {
        "layers": config.layers or 3,
        "heads": _heads(config),
        "head_width": config.width // _heads(config),
        "inner_width": config.inner_width or 4 * config.width,
        "norm_first": config.norm_first,
        "sharing": "all" if config.tied else "none",
        "tied": config.tied,
        "start_id": begins,
        "end_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
    }
    if entry.name == "bart":
        asked["context_tokens"] = context_tokens
    has = {field.name for field in dataclasses.fields(entry.config_class())}
    return {name: value for name, value in asked.items() if name in has}


def _built(entry: Architecture, settings: dict[str, Any]) -> nn.Module:
    return build_within_memory(functools.partial(entry.model_class(), entry.config_class()(**settings)))


def _heads(config: TranslatorConfig) -> int:
    return config.heads or max(1, config.width // 32)


def _can_tie(config: TranslatorConfig, name: str) -> bool:
    """Whether the word is read out of a vector as wide as the embedding; Bahdanau's always is."""
    return name == "seq2seq" or config.embedding_width in (None, config.width)
