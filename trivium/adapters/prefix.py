"""Prefix tuning: learnt keys and values before the text, in every layer (Li and Liang 2021, section 4; P-tuning v2,
Liu et al. 2022, is the same without the projection)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Placing
from trivium.adapters.beginning import Prompt, repeated, require_beginnings, require_tokens
from trivium.adapters.routing import bare
from trivium.errors import ConfigError, Unsupported
from trivium.nn.ring import WindowCache
from trivium.nn.state import KeyValueCache, State


@dataclass(frozen=True, kw_only=True)
class PrefixConfig:
    """Size of a prefix, and what it starts from."""

    tokens: int = 16
    """Positions P before the text; they count towards the model's context."""
    projection: bool = False
    """Train an embedding of each position and a small network that makes its keys and values, which is steadier (Li and
    Liang 2021, section 4.3); saved is what comes out."""
    projection_width: int | None = None
    """Hidden units of that network; as wide as a layer's keys where not given."""
    text_tokens: tuple[int, ...] = ()
    """Start from the keys and values of these ids, repeated or cut to `tokens` (section 7.4: best where data is
    scarce); from random ones where empty."""

    def __post_init__(self) -> None:
        require_tokens(self.tokens, self.text_tokens)
        if self.projection and self.text_tokens:
            raise ConfigError(
                "what comes out of a projection cannot be chosen",
                received=f"projection with text_tokens of {len(self.text_tokens)} ids",
                fix="leave one of them out",
            )
        if self.projection_width is not None and (not self.projection or self.projection_width < 1):
            raise ConfigError(
                "projection_width is of a projection, and at least 1",
                received=f"projection_width {self.projection_width}, projection {self.projection}",
            )


class Prefix(Prompt):
    """Keys and values as they stand in the caches (after any rotation) of L layers, with G heads of width K.

    ``embeddings`` is ``[P, L * 2 * G * K]``, for each position the keys, then the values, of layer after layer; under a
    projection ``[P, G * K]``, of which the projection makes them.
    """

    def __init__(self, model: nn.Module, config: PrefixConfig) -> None:
        super().__init__(config.tokens)
        like = _caches(model, config.tokens)[0].keys
        self.layers, self.heads, self.head_width = len(model.new_state(1, 1).layers), like.shape[1], like.shape[3]
        width = self.heads * self.head_width
        size = self.layers * 2 * width
        self.projection: nn.Module = nn.Identity()
        if config.projection:
            inner = config.projection_width or width
            self.projection = nn.Sequential(nn.Linear(width, inner), nn.Tanh(), nn.Linear(inner, size)).to(like)
            start = like.new_empty(config.tokens, width).normal_()
        elif config.text_tokens:
            start = _keys_and_values_of(model, repeated(config.text_tokens, config.tokens, model))
        else:
            start = like.new_empty(config.tokens, size).normal_(std=0.02)
        self.embeddings = nn.Parameter(start)

    def pairs(self) -> Float[Tensor, "P N"]:
        """The keys and values, out of the projection where there is one."""
        return self.projection(self.embeddings)

    def read(self, model: nn.Module) -> State:
        shape = (self.tokens, self.layers, 2, self.heads, self.head_width)
        pairs = self.pairs().view(shape).permute(1, 2, 3, 0, 4)[:, :, None]  # [L, 2, 1, G, P, K]
        empty = model.new_state(1, self.tokens)
        caches = []
        for cache, (keys, values) in zip(empty.layers, pairs, strict=True):
            assert isinstance(cache, KeyValueCache | WindowCache), "refused when it was attached"
            cache.append(keys, values, 0)
            caches.append(cache)
        return State(caches, torch.full_like(empty.lengths, self.tokens))


def prepare(model: nn.Module, config: PrefixConfig) -> Placing:
    """A prefix as ``config`` starts it. ``Unsupported`` for a model that does not cache keys and values, or looks back
    less far than the prefix is long; ``ConfigError`` for ids that are not in its vocabulary."""
    prefix = Prefix(model, config)

    def place(name: str, adapters: AdapterSet) -> None:
        adapters.prompts[name] = prefix

    return place


def _caches(model: nn.Module, tokens: int) -> list[KeyValueCache | WindowCache]:
    """One for each layer, of one row."""
    require_beginnings(model, "a prefix", tokens)
    layers = model.new_state(1, tokens).layers
    caches = [cache for cache in layers if isinstance(cache, KeyValueCache | WindowCache)]
    if not caches or len(caches) < len(layers) or len({_shape(cache) for cache in caches}) > 1:
        raise Unsupported(
            "a prefix needs a model that caches keys and values, of one shape in every layer",
            received=type(model).__name__,
            expected="a decoder-only Transformer",
            fix="use a soft prompt",
        )
    window = min((cache.window for cache in caches if isinstance(cache, WindowCache)), default=tokens)
    if tokens > window:
        raise Unsupported(
            "a prefix cannot be longer than the model looks back",
            received=f"{tokens} positions, and a window of {window} tokens",
            fix=f"give the prefix at most {window} positions",
        )
    return caches


def _shape(cache: KeyValueCache | WindowCache) -> tuple[torch.Size, torch.Size]:
    """Of one position's keys and of its values, which have to be alike."""
    assert cache.keys.shape == cache.values.shape
    return cache.keys[:, :, 0].shape, cache.values[:, :, 0].shape


@torch.no_grad()
def _keys_and_values_of(model: nn.Module, tokens: Tensor) -> Float[Tensor, "P N"]:
    """What stands in the caches once the model has read ``tokens [1, P]``, without dropout."""
    training = model.training
    model.eval()
    try:
        with bare(model):
            state = model(tokens, state=model.new_state(*tokens.shape)).state
    finally:
        model.train(training)
    pairs = torch.stack([torch.stack([cache.keys[0], cache.values[0]]) for cache in state.layers])  # [L, 2, G, P, K]
    return pairs.permute(3, 0, 1, 2, 4).flatten(1).contiguous()
