"""A decoder whose parts are chosen, for comparing them with everything else equal.

The block is GPT-2's, a norm before each sub-block. How places are told (`modular_places`), which earlier tokens are
looked at, and what stands in the feed-forward layer come from the configuration by tables; the parts are those of `nn`,
which name their papers. Nothing in the forward pass asks which they are.
"""

from collections.abc import Callable, Collection, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.modular_config import ModularConfig
from trivium.models.modular_places import PLACES, Located
from trivium.models.own_format import same_names
from trivium.nn.attention.adaptive_span import AdaptiveSpan
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.mixing import Spanned, Sparse, Whole
from trivium.nn.attention.related import Related
from trivium.nn.attention.remembered import Cache
from trivium.nn.attention.sparse import BlockSparse, Fixed, Strided
from trivium.nn.attention.transformer_xl import DistanceRelation
from trivium.nn.embedded import embedded
from trivium.nn.experts import Experts
from trivium.nn.feedforward import FeedForward, GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.linear import Linear
from trivium.nn.mixture_block import through_experts
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import rotate
from trivium.nn.positions.shaw import ShawRelation
from trivium.nn.product_keys import ProductKeyMemory
from trivium.nn.real_tokens import real_tokens
from trivium.nn.routing import Choice, Routings
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


class Spans:
    """The mean spans that the blocks of one forward pass tell. Neither a list nor a dataclass: sharding hands a block a
    copy of those."""

    def __init__(self) -> None:
        self.told: list[Tensor] = []


class Attention(nn.Module):
    """Projections, norms and rotation of queries and keys, and one of the ways of attending."""

    def __init__(self, config: ModularConfig) -> None:
        super().__init__()
        self.heads, self.groups, self.head_width = config.heads, config.groups, config.width_of_head
        self.qkv = Linear(config.width, (self.heads + 2 * self.groups) * self.head_width, bias=config.bias)
        self.query_norm, self.key_norm = (
            RMSNorm(self.head_width, config.norm_epsilon) if config.qk_norm else nn.Identity() for _ in range(2)
        )
        relation = RELATIONS.get(config.positions)
        self.mixing = MIXINGS[config.attention](config) if relation is None else Related(relation(config))
        self.spanned = isinstance(self.mixing, Spanned)
        self.output = Linear(self.heads * self.head_width, config.width, bias=config.bias)
        self.sinks = nn.Parameter(torch.zeros(self.heads)) if config.sinks else None
        self.window = config.pattern.window_tokens if config.attention == "window" else None
        self.scale, self.soft_cap, self.dropout = config.scale, config.soft_cap, config.attention_dropout

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        located: Located,
        spans: Spans,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        qkv = self.qkv(x).unflatten(-1, (self.heads + 2 * self.groups, self.head_width))
        q, k, v = qkv.split([self.heads, self.groups, self.groups], dim=2)
        q, k = self.query_norm(q), self.key_norm(k)
        if located.rotation is not None:
            q, k = (rotate(part, located.rotation) for part in (q, k))
        how = Scoring(
            scale=self.scale,
            bias=located.bias,
            window=self.window,
            soft_cap=self.soft_cap,
            sinks=self.sinks,
            dropout=self.dropout if self.training else 0.0,
        )
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        mixed = self.mixing(q, k, v, layout, how, cache, probabilities)
        if self.spanned:
            spans.told.append(self.mixing.span.penalty())
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)); ``parallel``, both of the first x."""

    def __init__(self, config: ModularConfig, layer: int) -> None:
        super().__init__()
        kind = "memory" if layer in config.memory.layers else config.feedforward
        self.attention_norm = NORMS[config.norm](config)
        self.attention = Attention(config)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = NORMS[config.norm](config)
        self.feedforward = FEEDFORWARDS[kind](config)
        self.routed = isinstance(self.feedforward, Experts)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(config.dropout)
        self.parallel = config.parallel

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        located: Located,
        spans: Spans,
        routings: Routings | None,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(x), layout, located, spans, cache, probabilities)
        after = x + self.dropout(self.after_attention(mixed))
        read = self.feedforward_norm(x if self.parallel else after)
        inner = self.feedforward(read, routings) if self.routed else self.feedforward(read)
        return after + self.dropout(self.after_feedforward(inner))


class Modular(nn.Module):
    """Decoder-only Transformer of chosen parts; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: ModularConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.places = PLACES[config.positions](config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = NORMS[config.norm](config)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)
        smaller_residuals_(self, config.layers)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, before positions are added."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens."""
        config = self.config
        rings = config.attention == "window" and config.positions not in RELATIONS  # a relation reads whole caches
        return State.of_caches(
            rows,
            config.groups,
            capacity,
            config.width_of_head,
            layers=config.layers,
            like=self.embedding.weight,
            windows=[config.pattern.window_tokens if rings else None] * config.layers,
        )

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md; in
        training also the losses of experts and of learned spans, as sums over the tokens that are no padding.
        ``collect`` may name "routing" too, see `through_experts`."""
        x = embedded(self, tokens, embeddings)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        located = self.places(layout, x)
        x = self.dropout(x if located.vectors is None else x + located.vectors)
        which = {"lengths": lengths, "segments": segments}
        spans = Spans()
        x, collected, losses = through_experts(
            self, x, layout, located, spans, **which, state=state, collect=collect, weights=self.config.mixture
        )
        weight = self.config.pattern.span_penalty
        if self.training and spans.told and weight:
            losses["span"] = weight * torch.stack(spans.told).sum() * real_tokens(x, **which).sum()
        return Output(self.norm(x), state, losses, collected)


RELATIONS: Mapping[str, Callable[[ModularConfig], nn.Module]] = {
    "shaw": lambda config: ShawRelation(config.width_of_head, config.furthest_tokens),
    "transformer_xl": lambda config: DistanceRelation(config.width, config.heads, config.width_of_head),
}
"""How a layer tells distances by itself."""

MIXINGS: Mapping[str, Callable[[ModularConfig], nn.Module]] = {
    "full": lambda config: Whole(),
    "window": lambda config: Whole(),
    "strided": lambda config: Sparse(Strided(config.pattern.block_tokens)),
    "fixed": lambda config: Sparse(Fixed(config.pattern.block_tokens, config.pattern.summary_tokens)),
    "block_sparse": lambda config: Sparse(
        BlockSparse(config.pattern.block_tokens, config.pattern.blocks_before, config.pattern.first_blocks)
    ),
    "adaptive_span": lambda config: Spanned(
        AdaptiveSpan(
            config.heads,
            config.pattern.span_tokens,
            config.pattern.ramp_tokens,
            first=config.pattern.first_span_tokens,
        )
    ),
}
"""Which earlier tokens a layer looks at."""

FEEDFORWARDS: Mapping[str, Callable[[ModularConfig], nn.Module]] = {
    "plain": lambda config: FeedForward(config.width, _inner(config), config.activation, bias=config.bias),
    "gated": lambda config: GatedFeedForward(config.width, _inner(config), config.activation, bias=config.bias),
    "experts": lambda config: Experts(
        config.width,
        _inner(config),
        Choice(experts=config.mixture.experts, chosen=config.mixture.chosen),
        activation=config.activation,
    ),
    # The batch's norm would tie the tokens of a batch, padding among them, to each other.
    "memory": lambda config: ProductKeyMemory(
        config.width,
        config.memory.half_keys,
        config.memory.chosen,
        heads=config.memory.heads,
        key_width=config.memory.key_width,
        norm="layer",
    ),
}
"""What stands in the feed-forward layer."""

NORMS: Mapping[str, Callable[[ModularConfig], nn.Module]] = {
    "layer": lambda config: nn.LayerNorm(config.width, eps=config.norm_epsilon),
    "rms": lambda config: RMSNorm(config.width, config.norm_epsilon),
}


def _inner(config: ModularConfig) -> int:
    return config.inner_width or 4 * config.width


def weight_map(config: ModularConfig) -> WeightMap:
    """Files hold our own names; which there are, the network itself knows best."""
    with torch.device("meta"):
        names = list(Modular(config).state_dict())
    tied = ("head.weight",) if config.tied else ()
    return same_names([name for name in names if name not in tied], tied=tied)
