"""Prefix tuning: learned keys and values before the text, in every layer (Li and Liang 2021, section 4).

They live in the ``State``: some of a batch's rows begin with a prefix, others with nothing, and the model knows of
neither. The text's positions go on from the prefix's length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from trivium.adapters.adapter_set import AdapterSet, Placing, adapters_of, has_adapters
from trivium.errors import ConfigError, Unsupported
from trivium.nn.ring import WindowCache
from trivium.nn.state import KeyValueCache, State


@dataclass(frozen=True, kw_only=True)
class PrefixConfig:
    """Size of a prefix."""

    tokens: int = 16
    """Positions P before the text; they count towards the model's context."""

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ConfigError("a prefix has at least one position", received=self.tokens)


class Prefix(nn.Module):
    """Keys and values ``[L, H, P, K]`` of ``L`` layers, as they stand in the cache (after any rotation)."""

    def __init__(self, model: nn.Module, config: PrefixConfig) -> None:
        super().__init__()
        caches = model.new_state(1, config.tokens).layers
        if not caches or not all(isinstance(cache, KeyValueCache | WindowCache) for cache in caches):
            raise Unsupported(
                "a prefix needs a model that caches keys and values",
                received=type(model).__name__,
                expected="a decoder-only Transformer",
            )
        window = min((cache.window for cache in caches if isinstance(cache, WindowCache)), default=config.tokens)
        if config.tokens > window:
            raise Unsupported(
                "a prefix cannot be longer than the model looks back",
                received=f"{config.tokens} positions, and a window of {window} tokens",
                fix=f"give the prefix at most {window} positions",
            )
        self.tokens = config.tokens
        like = torch.cat([cache.keys for cache in caches])
        self.keys = nn.Parameter(torch.empty_like(like).normal_(std=0.02))
        self.values = nn.Parameter(torch.empty_like(like).normal_(std=0.02))


def prepare(model: nn.Module, config: PrefixConfig) -> Placing:
    """A prefix of random keys and values. ``Unsupported`` for a model without a cache of them."""
    prefix = Prefix(model, config)

    def place(name: str, adapters: AdapterSet) -> None:
        adapters.prompts[name] = prefix

    return place


def begin(model: nn.Module, rows: Sequence[str | None], capacity: int) -> State:
    """A new state for ``len(rows)`` texts of at most ``capacity`` tokens each, prefixes not counted.

    Row ``b`` begins with the prefix called ``rows[b]``; rows with ``None`` or with the name of another kind of adapter
    begin empty. Differentiable with respect to the prefixes.
    """
    adapters = adapters_of(model)
    used = {name for name in rows if name is not None}
    for name in used:
        adapters.require(name)
    prefixes = {name: p for name, p in adapters.prompts.items() if name in used and isinstance(p, Prefix)}
    state = model.new_state(len(rows), capacity + max((prefix.tokens for prefix in prefixes.values()), default=0))
    lengths = state.lengths.clone()
    for name, prefix in prefixes.items():
        index = torch.tensor([b for b, chosen in enumerate(rows) if chosen == name], device=lengths.device)
        lengths[index] = prefix.tokens
        for cache, keys, values in zip(state.layers, prefix.keys, prefix.values, strict=True):
            cache.keys[index, :, : prefix.tokens] = keys
            cache.values[index, :, : prefix.tokens] = values
    return State(state.layers, lengths, state.memory)


def begin_active(model: nn.Module, rows: Sequence[str | None], capacity: int) -> State:
    """``begin`` for any model: ``None`` stands for the active adapter, and a model without adapters begins empty."""
    if not has_adapters(model):
        return model.new_state(len(rows), capacity)
    active = adapters_of(model).routing.active
    return begin(model, [name or active for name in rows], capacity)


def prefix_tokens(model: nn.Module, adapter: str | None = None) -> int:
    """Positions that ``adapter``, or the active one, puts before every text."""
    if not has_adapters(model):
        return 0
    adapters = adapters_of(model)
    for name, found in adapters.prompts.items():
        if name == (adapter or adapters.routing.active) and isinstance(found, Prefix):
            return found.tokens
    return 0
