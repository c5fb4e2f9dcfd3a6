"""A LoRA or an (IA)3, and what is trained beside it: copies of whole modules, and rows of the embedding for new
tokens."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn

from trivium.adapters import ia3, low_rank, trained_copy, trained_tokens
from trivium.adapters.adapted_embedding import AdaptedEmbedding, EmbeddingUpdate
from trivium.adapters.adapted_head import AdaptedHead, adapted_head
from trivium.adapters.adapter_set import AdapterSet, Placing
from trivium.adapters.holder import holders, require_place
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.published import module_name
from trivium.adapters.shared_table import SharedUpdate, sharers
from trivium.adapters.sites import Site, chosen
from trivium.adapters.swapped import StandIn, placing
from trivium.adapters.trained_copy import TrainedCopyConfig
from trivium.adapters.trained_tokens import TrainedTokensConfig
from trivium.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ExtendedLoRAConfig:
    """A LoRA with trained modules, trained tokens, or both."""

    update: LoRAConfig = field(default_factory=LoRAConfig)
    """Low-rank updates."""
    copies: TrainedCopyConfig | None = None
    """Modules that are trained whole."""
    tokens: TrainedTokensConfig | None = None
    """Tokens whose vectors are trained."""
    tied: bool = False
    """Where an embedding and the output head have one table, what is trained of the one is of the other too."""


@dataclass(frozen=True, kw_only=True)
class ExtendedIA3Config:
    """An (IA)3 with trained modules."""

    update: IA3Config = field(default_factory=IA3Config)
    """Vectors."""
    copies: TrainedCopyConfig = field(default_factory=TrainedCopyConfig)
    """Modules that are trained whole."""


def prepare_lora(model: nn.Module, config: ExtendedLoRAConfig) -> Placing:
    """All parts; raises as they do, and ``ConfigError`` where two of them are for one module, or nothing is tied."""
    update, places = low_rank.prepare(model, config.update), chosen(model, config.update.choice)
    copies = {} if config.copies is None else trained_copy.copies(model, config.copies, tied=config.tied)
    rows = {} if config.tokens is None else trained_tokens.rows_of(model, config.tokens)
    _require_apart([site.ours for site in places], copies, rows)
    beside = placing(model, {**copies, **rows})
    shared = _require_shared(model, places, [*copies, *rows]) if config.tied else ()

    def place(name: str, adapters: AdapterSet) -> None:
        update(name, adapters)
        beside(name, adapters)
        for path in shared:
            part = SharedUpdate(module_name(model, path), _table_update(model, name), config.update.dropout)
            adapted_head(model, path, adapters).add(name, part)

    return place


def prepare_ia3(model: nn.Module, config: ExtendedIA3Config) -> Placing:
    """All parts; raises as they do, and ``ConfigError`` where two of them are for one module."""
    update = ia3.prepare(model, config.update)
    places = chosen(model, ia3.with_targets(model, config.update).choice)
    copies = trained_copy.copies(model, config.copies)
    _require_apart([site.ours for site in places], copies)
    beside = placing(model, copies)

    def place(name: str, adapters: AdapterSet) -> None:
        update(name, adapters)
        beside(name, adapters)

    return place


def _require_apart(updated: Iterable[str], *parts: Mapping[str, StandIn]) -> None:
    seen, double = set(updated), set()
    for own in parts:
        double |= seen & own.keys()
        seen |= own.keys()
    if double:
        raise ConfigError(
            "two parts of one adapter are for the same module",
            received=", ".join(sorted(double)),
            fix="leave it out of the targets, or train it in one way only",
        )


def _require_shared(model: nn.Module, places: list[Site], beside: list[str]) -> tuple[str, ...]:
    """The heads that get the embedding's update; none where the shared table is trained in another way."""
    table = sharers(model)
    updated = any(site.tied for site in places)
    if not updated and not set(table) & set(beside):
        raise ConfigError(
            "nothing that is tied is trained",
            received="tied: true",
            expected="an embedding that the output head shares, among the targets or the modules"
            if table
            else "a model whose output head has the table of its embedding",
            fix="leave tied out",
        )
    heads = table[1:] if updated else ()
    for path in heads:
        require_place(model, path, AdaptedHead)
    return heads


def _table_update(model: nn.Module, name: str) -> EmbeddingUpdate:
    """The update of the embedding, which is in its place."""
    (update,) = (holder.updates[name] for _, holder in holders(model, name) if isinstance(holder, AdaptedEmbedding))
    assert isinstance(update, EmbeddingUpdate)
    return update
