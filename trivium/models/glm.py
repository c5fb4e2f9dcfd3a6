"""GLM (Du et al. 2022, "General Language Model Pretraining with Autoregressive Blank Infilling"), up to GLM-10B.

One stack of blocks with the norm first reads a text with blanks (part A: every token sees every other) and writes what
stands in them (part B: every token sees part A and what was written before it), section 2.1. A token has two learned
positions (section 2.1.2): in part A its place in the text and 0; in part B the place of its blank, and 1, 2, ... within
it. So the model knows neither how long a blank is nor where another one begins.

Here part A is the source and part B the target: ``encode`` reads the one and remembers the keys and values of every
layer, ``forward`` reads or writes the other. ``config.json`` of GLM-4 has the same ``model_type``; that is another
network. The published code can divide scores by ``attention_scale`` and multiply them back before the softmax, against
overflow in half precision; the result is the same for every scale.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported, UserError
from trivium.models import glm_format
from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import Layout, causal_layout, plain_layout
from trivium.nn.attention.prefixed import attend_prefixed
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.ragged import Ragged
from trivium.nn.state import KeyValueCache, Memory, State
from trivium.nn.weight_map import Rename, WeightMap

Source = tuple[Float[Tensor, "R H S K"], Float[Tensor, "R H S K"]]
"""Keys and values of part A in one layer; R rows, of which the packed tokens of part B are."""


@dataclass(frozen=True, kw_only=True)
class GLMConfig:
    """Shape of a GLM; the defaults are the base model's."""

    vocabulary_size: int = 30592
    """Number of pieces V."""
    width: int = 768
    """Width D of the residual stream; the feed-forward layer is four times as wide."""
    layers: int = 12
    """Number of blocks."""
    heads: int = 12
    """Attention heads H; ``width`` is a multiple of it."""
    context_tokens: int = 512
    """Longest part A and longest blank; the tables of positions have one row more."""
    dropout: float = 0.1
    """Dropout on residual branches."""
    embedding_dropout: float = 0.1
    """Dropout on the sum of embedding and positions."""
    attention_dropout: float = 0.1
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    start_id: int = 0
    """What every blank's content begins with: <|startofpiece|>."""
    blank_ids: tuple[int, ...] = ()
    """The tokens that stand for a blank: [MASK], and of the larger models [sMASK] (whole sentences) and [gMASK]."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                "the heads do not divide the width",
                received=f"width {self.width}, heads {self.heads}",
                fix=f"choose a width that is a multiple of {self.heads}",
            )

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GLMConfig":
        """From a ``config.json`` of ``model_type`` glm; ``Unsupported`` for GLM-4 and for what this file does not
        compute."""
        return cls(**glm_format.read(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that the published code opens; the ids of blanks are ours."""
        return glm_format.write(self)


class Attention(nn.Module):
    """Of part A to itself, or of part B to both."""

    def __init__(self, config: GLMConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.attention_dropout
        self.qkv = Linear(config.width, 3 * config.width)
        self.output = Linear(config.width, config.width)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        source: Source | None = None,
        source_lengths: Int[Tensor, "R"] | None = None,
        cache: KeyValueCache | None = None,
        ragged: Ragged | None = None,
        probabilities: list[Tensor] | None = None,
        remembered: list[Source] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Without a ``source`` it is part A that is read; ``remembered`` gets its keys and values."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).transpose(1, 3).unbind(2)
        dropout = self.dropout if self.training else 0.0
        if remembered is not None:
            remembered.append((k, v))
        if source is None or source_lengths is None:
            if probabilities is not None:
                probabilities.append(attention_probabilities(q, k, layout))
            mixed = attend(q, k, v, layout, Scoring(dropout=dropout))
        else:
            how = {"cache": cache, "ragged": ragged, "dropout": dropout, "probabilities": probabilities}
            mixed = attend_prefixed(q, k, v, source, source_lengths, layout, **how)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x))."""

    def __init__(self, config: GLMConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.attention = Attention(config)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.feedforward = FeedForward(config.width, 4 * config.width, "gelu")
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(config.dropout)

    def read(
        self, x: Float[Tensor, "B S D"], layout: Layout, probabilities: list[Tensor] | None = None
    ) -> tuple[Float[Tensor, "B S D"], Source]:
        """Part A, and what part B will see of it here."""
        remembered: list[Source] = []
        read = self.attention_norm(x)
        mixed = self.attention(read, layout, probabilities=probabilities, remembered=remembered)
        return self._added(x, mixed), remembered[0]

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        source: Source,
        source_lengths: Int[Tensor, "R"],
        cache: KeyValueCache | None = None,
        ragged: Ragged | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Part B, or as much of it as is given."""
        read = self.attention_norm(x)
        return self._added(x, self.attention(read, layout, source, source_lengths, cache, ragged, probabilities))

    def _added(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.dropout(self.after_attention(mixed))
        return x + self.dropout(self.after_feedforward(self.feedforward(self.feedforward_norm(x))))


class GLM(nn.Module):
    """One stack that reads a text with blanks and writes what stands in them."""

    def __init__(self, config: GLMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = LearnedPositions(config.context_tokens + 1, config.width)
        self.block_positions = LearnedPositions(config.context_tokens + 1, config.width)
        self.dropout = nn.Dropout(config.embedding_dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=self.embedding)
        self.apply(normal_)
        for block in self.blocks:  # what is added to the stream is smaller in deep stacks, as in GPT-2
            for name in ("attention.output.weight", "feedforward.down.weight"):
                nn.init.normal_(block.get_parameter(name), std=0.02 * (2 * config.layers) ** -0.5)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, before positions are added."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` targets of at most ``capacity`` tokens, without a source yet."""
        heads, like = self.config.heads, self.embedding.weight
        width = self.config.width // heads
        return State.of_caches(rows, heads, capacity, width, layers=self.config.layers, like=like)

    def encode(
        self,
        source: Int[Tensor, "B S"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        *,
        embeddings: Float[Tensor, "B S D"] | None = None,
        blanks: Int[Tensor, "B"] | None = None,
        capacity: int = 0,
    ) -> State:
        """Reads part A: a state with every layer's keys and values of it, and a cache for ``capacity`` tokens of part B
        (none at 0: all of it is then given at once, as in training).

        ``blanks`` says where the blank is that will be written; where it is not given, the first of the configuration's
        ``blank_ids`` in each row, and behind the text where there is none.
        """
        x = embedded(self, source, embeddings)
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1], device=x.device)
        if blanks is None:
            blanks = lengths if source is None else self._first_blanks(source, lengths)
        remembered: list[tuple[Tensor, ...]] = []
        self._read(x, lengths, None, {}, remembered)
        layers = self.new_state(x.shape[0], capacity).layers if capacity else []
        return State(layers, torch.zeros_like(lengths), Memory((*remembered, (blanks,)), lengths))

    def read(
        self,
        source: Int[Tensor, "B S"] | None = None,
        *,
        embeddings: Float[Tensor, "B S D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B S"] | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """Part A alone: its hidden states, and what ``collect`` asks for."""
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        x = self._read(embedded(self, source, embeddings), lengths, segments, collected, [])
        return Output(x, collected=collected)

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
        positions: Int[Tensor, "B T"] | None = None,
        block_positions: Int[Tensor, "B T"] | None = None,
    ) -> Output:
        """Hidden states of part B's ``tokens`` after part A (``state`` from ``encode``, or carried on), see the model
        contract in docs/architecture.md.

        ``positions`` and ``block_positions`` are those of several blanks (``objectives/blank_infilling.py``); where
        they are not given, one blank is written: all positions are the one that ``encode`` remembers, and within it
        they count from 1. "attention" is ``[B, H, T, S + T]``, over part A and part B together.
        """
        if state is None or state.memory is None:
            raise UserError("an encoder-decoder needs its source", fix="state = model.encode(source, lengths)")
        memory, layers = state.memory, state.layers
        if layers and "attention" in collect:
            raise Unsupported(
                "attention is shown for whole targets",
                received='collect="attention" and a state with a cache',
                fix="encode with capacity=0 and give all tokens at once",
            )
        x = embedded(self, tokens, embeddings)
        ragged = None if segments is None else Ragged.of(segments, state.rows)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        if positions is None:
            (blanks,) = memory.tensors[-1]
            positions = blanks[:, None] if ragged is None else blanks[ragged.rows][None]
        if block_positions is None:
            block_positions = layout.positions + 1
        x = self.dropout(x + self.positions(positions) + self.block_positions(block_positions))
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        for i, block in enumerate(self.blocks):
            if "hidden" in collected:
                collected["hidden"].append(x)
            cache = layers[i] if layers else None
            x = block(x, layout, memory.tensors[i], memory.lengths, cache, ragged, collected.get("attention"))
        if "hidden" in collected:
            collected["hidden"].append(x)
        return Output(self.norm(x), state, collected=collected)

    def _read(
        self,
        x: Tensor,
        lengths: Tensor | None,
        segments: Tensor | None,
        collected: dict[str, list[Tensor]],
        remembered: list[tuple[Tensor, ...]],
    ) -> Tensor:
        """Hidden states of part A; the keys and values of each layer go to ``remembered``."""
        layout = plain_layout(x, causal=False, lengths=lengths, segments=segments)
        none = torch.zeros(1, 1, dtype=torch.long, device=x.device)
        x = self.dropout(x + self.positions(layout.positions) + self.block_positions(none))
        for block in self.blocks:
            if "hidden" in collected:
                collected["hidden"].append(x)
            x, source = block.read(x, layout, collected.get("attention"))
            remembered.append(source)
        if "hidden" in collected:
            collected["hidden"].append(x)
        return self.norm(x)

    def _first_blanks(self, source: Int[Tensor, "B S"], lengths: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """Where the first blank of each row is; its length where it has none."""
        places = torch.arange(source.shape[1], device=source.device)
        ids = torch.tensor(self.config.blank_ids, dtype=source.dtype, device=source.device)
        blank = torch.isin(source, ids) & (places < lengths[:, None])
        return torch.where(blank, places, lengths[:, None]).amin(dim=1)


SIZES = {
    "glm-base": GLMConfig(),
    "glm-large": GLMConfig(width=1024, layers=24, heads=16),
    "glm-410m": GLMConfig(width=1024, layers=30, heads=16),
    "glm-515m": GLMConfig(width=1152, layers=30, heads=18),
    "glm-2b": GLMConfig(vocabulary_size=50304, width=2048, layers=36, heads=32, context_tokens=1024),
    "glm-10b": GLMConfig(vocabulary_size=50304, width=4096, layers=48, heads=64, context_tokens=1024),
}
"""Sections 3.1 and 3.2 of the paper, and the two that were published after it."""


def weight_map(config: GLMConfig) -> WeightMap:
    """Between our names and those of the published ``GLMForConditionalGeneration``."""
    layer = "glm.transformer.layers.{i}."
    modules = [
        ("norm", "glm.transformer.final_layernorm"),
        ("blocks.{i}.attention_norm", layer + "input_layernorm"),
        ("blocks.{i}.attention.qkv", layer + "attention.query_key_value"),
        ("blocks.{i}.attention.output", layer + "attention.dense"),
        ("blocks.{i}.feedforward_norm", layer + "post_attention_layernorm"),
        ("blocks.{i}.feedforward.up", layer + "mlp.dense_h_to_4h"),
        ("blocks.{i}.feedforward.down", layer + "mlp.dense_4h_to_h"),
    ]
    entries = [
        Rename("embedding.weight", "glm.word_embeddings.weight"),
        Rename("positions.weight", "glm.transformer.position_embeddings.weight"),
        Rename("block_positions.weight", "glm.transformer.block_position_embeddings.weight"),
    ]
    entries += [Rename(f"{ours}.{kind}", f"{theirs}.{kind}") for ours, theirs in modules for kind in ("weight", "bias")]
    return WeightMap(tuple(entries), config.layers, ("head.weight",))
