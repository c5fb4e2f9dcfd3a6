"""A LoRA and what is trained beside it: copies of whole modules, and rows of the embedding for new tokens."""

from dataclasses import dataclass, field

from torch import nn

from trivium.adapters import low_rank, trained_copy, trained_tokens
from trivium.adapters.adapter_set import AdapterSet, Placing
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.sites import chosen
from trivium.adapters.swapped import placing
from trivium.adapters.trained_copy import TrainedCopyConfig
from trivium.adapters.trained_tokens import TrainedTokensConfig
from trivium.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ExtendedLoRAConfig:
    """A LoRA with trained modules, trained tokens, or both."""

    lora: LoRAConfig = field(default_factory=LoRAConfig)
    """Low-rank updates."""
    copies: TrainedCopyConfig | None = None
    """Modules that are trained whole."""
    tokens: TrainedTokensConfig | None = None
    """Tokens whose vectors are trained."""


def prepare(model: nn.Module, config: ExtendedLoRAConfig) -> Placing:
    """All parts; raises as they do, and ``ConfigError`` where two of them are for one module."""
    update = low_rank.prepare(model, config.lora)
    updated = {site.ours for site in chosen(model, config.lora.choice)}
    copies = {} if config.copies is None else trained_copy.copies(model, config.copies)
    rows = {} if config.tokens is None else trained_tokens.rows_of(model, config.tokens)
    double = (updated & (copies.keys() | rows.keys())) | (copies.keys() & rows.keys())
    if double:
        raise ConfigError(
            "two parts of one adapter are for the same module",
            received=", ".join(sorted(double)),
            fix="leave it out of the targets of the LoRA, or train it in one way only",
        )
    beside = placing(model, {**copies, **rows})

    def place(name: str, adapters: AdapterSet) -> None:
        update(name, adapters)
        beside(name, adapters)

    return place
