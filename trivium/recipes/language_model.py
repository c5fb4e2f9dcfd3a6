"""The network of a language model to train from nothing: what may be asked of it, and how it is built."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from trivium.errors import ConfigError, Unsupported
from trivium.models import ARCHITECTURES, Architecture, architecture
from trivium.models.electra_pair import ElectraPair
from trivium.recipes.parts import PartsConfig
from trivium.recipes.training import require_at_least
from trivium.runtime import machine
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.special import BLANKS

# A gated feed-forward layer has three matrices: 8/3 of the width keeps it at the size of a plain one of four widths
# (Shazeer 2020, section 2). In whole multiples, for the sake of matrix products.
_GATED = (
    *("llama", "modernbert", "mistral", "mixtral", "gemma", "gemma2", "gemma3", "qwen2", "qwen3", "qwen3_moe", "phi3"),
    *("olmo2", "cohere", "cohere2", "deepseek_v3", "gpt_oss", "palm", "lamda", "grok1", "modular"),
)
_INNER_MULTIPLE = 32
_REGULARISED = ("awd_lstm",)
_OTHER_DROPOUTS = ("embedding_dropout", "attention_dropout", "inner_dropout")
_NARROW = ("recurrent",)
_EXPERTS, _CHOSEN = 8, 2
_KINDS = ("decoder", "recurrent", "bidirectional recurrent", "encoder", "encoder-decoder")
_ATTENDING = ("decoder", "encoder", "encoder-decoder")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegularisationConfig:
    """What awd_lstm has beside dropout of its output; each null for the authors' for the Penn Treebank."""

    input_dropout: float | None = None
    """Locked dropout of the embedded text; theirs is 0.4, and 0.65 for WikiText-2."""
    hidden_dropout: float | None = None
    """Locked dropout between layers; theirs is 0.25, and 0.2 for WikiText-2."""
    embedding_dropout: float | None = None
    """Share of the vocabulary that a training pass reads as nothing; theirs is 0.1."""
    weight_dropout: float | None = None
    """Share of the recurrent weights that a training pass does without; theirs is 0.5."""
    activation_regularisation: float | None = None
    """Weight of the mean square of the output (AR); theirs is 2."""
    temporal_activation_regularisation: float | None = None
    """Weight of the mean square of its change from token to token (TAR); theirs is 1."""

    @property
    def given(self) -> dict[str, float]:
        """Those that are asked for, under the names that they have in the configuration of the network."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture and its size."""

    architecture: str = "llama"
    """A language model; `trivium models` lists them: of kind decoder, recurrent, bidirectional recurrent, encoder or
    encoder-decoder."""
    width: int = 128
    """Width of the residual stream, or of the recurrent layers."""
    layers: int = 4
    """Number of blocks; of bilm, in each direction."""
    heads: int | None = None
    """Attention heads; null for as many as make them 32 wide."""
    inner_width: int | None = None
    """Width of the feed-forward layers; null for what is usual."""
    experts: int | None = None
    """Experts in a layer of a mixture (mixtral, qwen3_moe, gpt_oss, deepseek_v3, grok1); null for 8."""
    chosen_experts: int | None = None
    """Experts that each token goes to; null for 2. Where inner_width is not given, that of all of them together is what
    is usual."""
    embedding_width: int | None = None
    """Width of the embedding of a recurrent model; null for that of its layers."""
    dropout: float | None = None
    """Share of activations that is dropped while training; 0.1 helps where a small text is read many times. Null for
    none, and for awd_lstm for the authors' 0.4."""
    tied: bool = True
    """The output weights are the input embedding."""
    parts: PartsConfig = dataclasses.field(default_factory=PartsConfig)
    """What modular is built of."""
    regularisation: RegularisationConfig = dataclasses.field(default_factory=RegularisationConfig)
    """The other dropouts and the penalties of awd_lstm."""


def check_model(config: ModelConfig) -> Architecture:
    """The row of the architecture. Raises `ConfigError` or `Unsupported` for what it cannot be, whatever the text."""
    entry = architecture(config.architecture)
    if entry.kind not in _KINDS:
        raise Unsupported(
            "pre-training needs a language model: an architecture that predicts tokens of a text",
            received=f"{entry.name}, of kind {entry.kind!r}",
            expected=", ".join(each.name for each in ARCHITECTURES if each.kind in _KINDS),
        )
    _require_own_settings(config, entry)
    require_at_least(
        1,
        width=config.width,
        layers=config.layers,
        heads=config.heads,
        inner_width=config.inner_width,
        embedding_width=config.embedding_width,
        experts=config.experts,
        chosen_experts=config.chosen_experts,
    )
    _require_rates(config)
    heads = _heads(config)
    if entry.kind in _ATTENDING and config.width % heads:
        raise ConfigError(
            "the heads do not divide the width",
            received=f"width {config.width}, heads {heads}",
            fix=f"set width to a multiple of {heads}",
        )
    _require_memory(config, entry)
    return entry


def _require_own_settings(config: ModelConfig, entry: Architecture) -> None:
    """Refuses settings of parts that the architecture does not have."""
    heads = config.heads is not None and "heads" not in _fields(entry)  # a relational memory attends to its slots
    if entry.kind not in _ATTENDING and (heads or config.inner_width is not None):
        raise ConfigError(
            f"{entry.name} has no attention heads and no feed-forward layers",
            received=f"heads {config.heads}, inner_width {config.inner_width}",
            fix="leave both out",
        )
    if entry.kind not in _NARROW and config.embedding_width is not None:
        raise ConfigError(
            f"the embedding of {entry.name} is as wide as its blocks",
            received=f"embedding_width {config.embedding_width}",
            fix="leave it out",
        )
    if not _mixes(entry) and (config.experts is not None or config.chosen_experts is not None):
        raise ConfigError(
            f"{entry.name} has no experts",
            received=f"experts {config.experts}, chosen_experts {config.chosen_experts}",
            fix="leave both out, or set architecture to mixtral",
        )
    _require_present(config, entry)
    if entry.name != "modular" and config.parts != PartsConfig():
        raise ConfigError(
            f"the parts of {entry.name} are those of its paper",
            received=", ".join(f"parts.{name}" for name in config.parts.changed),
            fix="leave parts out, or set architecture to modular",
        )
    given = config.regularisation.given
    if given and entry.name not in _REGULARISED:
        raise ConfigError(
            f"{entry.name} knows only plain dropout",
            received=", ".join(f"regularisation.{name} {value}" for name, value in given.items()),
            expected=f"regularisation for {' or '.join(_REGULARISED)}",
            fix="leave regularisation out, or set architecture to awd_lstm",
        )


def _require_present(config: ModelConfig, entry: Architecture) -> None:
    """Refuses to choose where the architecture has one way only (glm, gpt, bloom)."""
    own = _fields(entry)
    if config.inner_width is not None and not {"inner_width", "expert_inner_width"} & own:
        raise ConfigError(
            f"the feed-forward layers of {entry.name} are four times as wide as its blocks",
            received=f"inner_width {config.inner_width}",
            fix="leave it out",
        )
    if not config.tied and not {"tied", "sharing"} & own:
        raise ConfigError(f"the output weights of {entry.name} are tied", received="tied false", fix="leave it out")


def _require_rates(config: ModelConfig) -> None:
    """Refuses rates of dropout and weights of penalties that cannot be."""
    given = config.regularisation.given
    rates = {"dropout": config.dropout or 0.0} | {name: given[name] for name in given if name.endswith("dropout")}
    for name, rate in rates.items():
        if not 0 <= rate < 1:  # NaN fails every comparison
            raise ConfigError(f"{name} must be at least 0 and below 1", received=rate)
    for name in given.keys() - rates.keys():
        if not 0 <= given[name] < float("inf"):
            raise ConfigError(f"{name} must be a finite number of at least 0", received=given[name])


def _require_memory(config: ModelConfig, entry: Architecture) -> None:
    """Refuses weights of blocks that alone are more than the machine's memory, where the model is built first."""
    # An Elman layer has two matrices of the width, the others more; attention has four, beside the feed-forward layer.
    matrices, inner = 2, 0
    if entry.kind in _ATTENDING:
        matrices, inner = 4, config.inner_width or _usual_inner_width(entry.name, config.width)
        if _mixes(entry):
            inner = _expert_width(config, entry) * (config.experts or _EXPERTS)
    asked = 4 * config.layers * config.width * (matrices * config.width + 2 * inner) / 2**30
    present = machine.total_memory_gib()
    if present is not None and asked > present:
        raise ConfigError(
            "the model does not fit into memory",
            received=f"width {config.width}, {config.layers} layers: more than {asked:,.1f} GiB of weights",
            expected=f"less than the {present:,.1f} GiB that there are",
            fix="lower width or layers",
        )


def build_model(
    config: ModelConfig, vocabulary_size: int, context_tokens: int, *, ids: Mapping[str, Any] | None = None
) -> nn.Module:
    """A new model with random weights; ``ids`` are those that `special_ids` gives, and the architecture's own
    without.

    Raises `ConfigError` or `Unsupported` for what the architecture cannot be.
    """
    entry = check_model(config)
    require_at_least(1, vocabulary_size=vocabulary_size, context_tokens=context_tokens)
    rate = None if config.dropout is None and entry.name in _REGULARISED else config.dropout or 0.0
    wanted: dict[str, Any] = {
        "vocabulary_size": vocabulary_size,
        "width": config.width,
        "layers": config.layers,
        "tied": config.tied,
        "sharing": "all" if config.tied else "none",
        "embedding_width": config.embedding_width,
        "heads": config.heads,
        "dropout": rate,
        **config.regularisation.given,
        **(config.parts.given if entry.name == "modular" else {}),
    }
    if entry.kind in _ATTENDING:
        wanted |= _attending(config, entry, context_tokens) | dict(ids or {})
    own = _fields(entry)
    settings = {name: value for name, value in wanted.items() if name in own and value is not None}
    if entry.name == "electra":  # its objective is for two networks
        return ElectraPair(entry.config_class()(**settings, head="replaced"))
    return entry.model_class()(entry.config_class()(**settings))


def special_ids(config: ModelConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """The ids that networks know of a vocabulary, under the names that they have in a configuration; those that the
    vocabulary has not are left out."""
    start, blank, *others = (tokenizer.id(token) for token in (BLANKS[2], "[MASK]", *BLANKS[:2]))
    name = architecture(config.architecture).name
    begins = {"glm": start, "bart": tokenizer.eos_id}.get(name, tokenizer.pad_id)  # as published
    blanks = tuple(id for id in (blank, *others) if id is not None)
    found = {"start_id": begins, "end_id": tokenizer.eos_id, "pad_id": tokenizer.pad_id, "blank_ids": blanks}
    return {name: value for name, value in found.items() if value is not None}


def _attending(config: ModelConfig, entry: Architecture, context_tokens: int) -> dict[str, Any]:
    """The settings of attention, of which each architecture has some."""
    heads = _heads(config)
    return {
        "context_tokens": context_tokens,
        "heads": heads,
        "head_width": config.width // heads,
        "inner_width": config.inner_width or _usual_inner_width(entry.name, config.width),
        "embedding_width": config.width,
        **dict.fromkeys(_OTHER_DROPOUTS, config.dropout or 0.0),
        **(_mixing(config, entry) if _mixes(entry) else {}),
    }


def _mixes(entry: Architecture) -> bool:
    """Whether there are experts in it."""
    return "experts" in _fields(entry) and entry.name != "modular"  # which has them where it is told to


def _mixing(config: ModelConfig, entry: Architecture) -> dict[str, Any]:
    """The settings of experts, of which each architecture has some; where layers without experts have a width of their
    own, inner_width is theirs."""
    width = _expert_width(config, entry)
    own = {"expert_inner_width": width} if "expert_inner_width" in _fields(entry) else {"inner_width": width}
    groups = {"expert_groups": 1, "chosen_groups": 1}
    return {"experts": config.experts or _EXPERTS, "chosen_experts": config.chosen_experts or _CHOSEN, **groups, **own}


def _expert_width(config: ModelConfig, entry: Architecture) -> int:
    usual = _usual_inner_width(entry.name, config.width)
    return config.inner_width or max(1, usual // (config.chosen_experts or _CHOSEN))


def _fields(entry: Architecture) -> set[str]:
    return {field.name for field in dataclasses.fields(entry.config_class())}


def _heads(config: ModelConfig) -> int:
    return config.heads or max(1, config.width // 32)


def _usual_inner_width(name: str, width: int) -> int:
    if name in _GATED:
        return -(-8 * width // 3 // _INNER_MULTIPLE) * _INNER_MULTIPLE
    return 4 * width
