"""ERNIE 3.0 (Sun et al. 2021, "ERNIE 3.0: Large-scale Knowledge Enhanced Pre-training for Language Understanding and
Generation"): the network that generates text, from the description in the paper.

All tasks share a large network, the universal representation module, and each kind of task, understanding and
generation, has a small one on top of it (section 3.1). Both are Transformer-XLs (Dai et al. 2019). Generation reads
from left to right through both, and is what is built here; the network for understanding, which looks both ways, is
not. Its "pre-training settings" are 48 layers of width 4,096 with 64 heads, 12 of width 768 with 12 heads, and GELU.
What Transformer-XL remembers of earlier segments (128 tokens there) is the cache: texts go on as long as it has room.

Guesses: the rest of a block is Transformer-XL's too, with the norm after each sub-block; a linear layer leads from the
one width to the other, of which the paper does not speak; the output layer has weights of its own at the small width;
40,000 pieces, as in the smaller models of that name that were published later.

The paper's count, 10 billion for both branches, is not reproduced within 2 %: ours is 10.8 billion. Projections of
distances in each of the 48 layers, as Transformer-XL has them, make 0.8 billion of it; without them the count would
agree, but the paper does not say that they are left out or shared.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.models.own_format import read_config, same_names, write_config
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.attention.transformer_xl import TransformerXLAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


class Shape(NamedTuple):
    """Of one of the two networks."""

    width: int
    heads: int
    inner_width: int
    layers: int


@dataclass(frozen=True, kw_only=True)
class Ernie3Config:
    """Shape of an ERNIE 3.0; the universal network's defaults are the 10B model's, whose other network is in
    ``SIZES``."""

    vocabulary_size: int = 40000
    """Number of pieces V; our guess."""
    width: int = 4096
    """Width D of the universal network."""
    layers: int = 48
    """Its blocks."""
    heads: int = 64
    """Its attention heads H."""
    task_width: int | None = None
    """Width of the network for generation; ``width`` where not given."""
    task_layers: int | None = None
    """Its blocks; a quarter of ``layers``, as published, where not given."""
    task_heads: int | None = None
    """Its attention heads; ``heads`` where not given."""
    inner_width: int | None = None
    """Width F of its feed-forward layers; 4 * width where not given. Those of the other network are 4 * task_width."""
    context_tokens: int = 512
    """Longest text of pre-training ("pre-training settings"); distances themselves have no limit."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches; not published."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities; not published."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms; our guess."""
    tied: bool = False
    """Output weights are the input embedding; only where both networks are equally wide."""

    def __post_init__(self) -> None:
        universal, task = self.universal, self.task
        for shape in (universal, task):
            if shape.width % shape.heads:
                raise ConfigError(
                    "the heads do not divide the width",
                    received=f"width {shape.width}, heads {shape.heads}",
                    fix=f"choose a width that is a multiple of {shape.heads}",
                )
        if self.tied and task.width != universal.width:
            raise ConfigError(
                "output weights as wide as one network cannot be the input embedding of another",
                received=f"tied, width {universal.width}, task_width {task.width}",
                fix="leave out tied, or task_width",
            )

    @property
    def universal(self) -> Shape:
        """The universal network."""
        return Shape(self.width, self.heads, self.inner_width or 4 * self.width, self.layers)

    @property
    def task(self) -> Shape:
        """The network for generation."""
        width, heads = self.task_width or self.width, self.task_heads or self.heads
        return Shape(width, heads, 4 * width, self.task_layers or -(-self.layers // 4))

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Ernie3Config":
        """From a ``config.json`` of ``model_type`` trivium-ernie3; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this network."""
        return write_config(self, "trivium-ernie3", "Ernie3")


class Block(nn.Module):
    """norm(x + attention(x)), then norm(x + feedforward(x)); ``enter`` leads from another width, where there is one."""

    def __init__(self, config: Ernie3Config, shape: Shape, enter: nn.Module | None = None) -> None:
        super().__init__()
        width = shape.width
        self.enter = enter
        self.attention = TransformerXLAttention(
            width,
            shape.heads,
            width // shape.heads,
            bias=True,
            output_bias=True,
            dropout=config.attention_dropout,
        )
        self.after_attention = nn.Identity()  # seat for an adapter
        self.attention_norm = nn.LayerNorm(width, eps=config.norm_epsilon)
        self.feedforward = FeedForward(width, shape.inner_width, "gelu")
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(width, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B T _"],
        layout: Layout,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T _"]:
        x = x if self.enter is None else self.enter(x)
        mixed = self.after_attention(self.attention(x, layout, cache, probabilities))
        x = self.attention_norm(x + self.dropout(mixed))
        return self.feedforward_norm(x + self.dropout(self.after_feedforward(self.feedforward(x))))


class Ernie3(nn.Module):
    """The universal network and on top of it the one for generation; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: Ernie3Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.dropout = nn.Dropout(config.dropout)
        universal, task = config.universal, config.task
        blocks = [Block(config, universal) for _ in range(universal.layers)]
        blocks.append(Block(config, task, Linear(universal.width, task.width)))
        self.blocks = nn.ModuleList(blocks + [Block(config, task) for _ in range(task.layers - 1)])
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(task.width, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """Empty caches of both networks for ``rows`` texts of at most ``capacity`` tokens."""
        like = self.embedding.weight
        universal, task = (
            State.of_caches(rows, shape.heads, capacity, shape.width // shape.heads, layers=shape.layers, like=like)
            for shape in (self.config.universal, self.config.task)
        )
        return State([*universal.layers, *task.layers], universal.lengths)

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
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md; those of
        the network for generation are as wide as it is."""
        x = embedded(self, tokens, embeddings)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        x, collected = through(self.blocks, self.dropout(x), layout, state=state, collect=collect)
        return Output(x, state, collected=collected)


SIZES = {"ernie-3.0-10b": Ernie3Config(task_width=768, task_layers=12, task_heads=12)}
"""The "pre-training settings" of the paper."""


def weight_map(config: Ernie3Config) -> WeightMap:
    """Our names are the file's."""
    layers = config.universal.layers
    parts = ("attention.qkv", "attention.output", "attention_norm")
    parts += ("feedforward.up", "feedforward.down", "feedforward_norm")
    block = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    block += [f"attention.mixing.relation.{name}" for name in ("position.weight", "content_bias", "position_bias")]
    enter = [f"blocks.{layers}.enter.{kind}" for kind in ("weight", "bias")]
    names = ["embedding.weight", *(f"blocks.{{i}}.{name}" for name in block), *enter]
    names += ["head.weight"] * (not config.tied)
    return same_names(names, layers=layers + config.task.layers, tied=("head.weight",) if config.tied else ())
