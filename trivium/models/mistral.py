"""Mistral 7B (Jiang et al. 2023).

LLaMA with grouped-query attention in every size and, in the first release, a sliding window (section 2): a token sees
itself and the ``window - 1`` before it, so that what layer k says of a token reaches k windows back.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import (
    check_heads,
    check_window,
    llama_attention,
    llama_feedforward,
    llama_fields,
    llama_map,
    read_fields,
    require,
    rope_of_whole_heads,
    write_llama,
)
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.pre_norm_block import PreNormBlock
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap

_FIELDS = llama_fields(inner_width=14336, key_value_heads=8, context_tokens=131072) | {
    "head_width": ("head_dim", None),
    "window_tokens": ("sliding_window", 4096),
}


@dataclass(frozen=True, kw_only=True)
class MistralConfig:
    """Shape of a Mistral; the defaults are the first 7B model's, but for ``key_value_heads`` (8 there)."""

    vocabulary_size: int = 32000
    """Number of pieces V."""
    width: int = 4096
    """Width D of the residual stream."""
    layers: int = 32
    """Number of blocks."""
    heads: int = 32
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    head_width: int | None = None
    """Width K of a head; width / heads where not given."""
    inner_width: int = 14336
    """Width F of the feed-forward layer."""
    context_tokens: int = 32768
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=Rope)
    """Rotary positions and their scaling."""
    window_tokens: int | None = 4096
    """A token sees itself and the ``window_tokens - 1`` before it; null for all."""
    norm_epsilon: float = 1e-5
    """Added to the mean square in the norms."""
    dropout: float = 0.0
    """Dropout on residual branches; ours, for small corpora (the published models use none)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = False
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)
        check_window(self.window_tokens, (), self.layers)

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def width_of_head(self) -> int:
        """Head width K."""
        return self.head_width or self.width // self.heads

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The window of each layer: the same in all."""
        return (self.window_tokens,) * self.layers

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "MistralConfig":
        """From a ``config.json`` of ``model_type`` mistral; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu", layer_types=None)  # a model with both kinds of layer is a Ministral
        return cls(**read_fields(config, _FIELDS), rope=rope_of_whole_heads(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "mistral", "MistralForCausalLM") | {"head_dim": self.width_of_head}


def _block(config: MistralConfig) -> PreNormBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.width_of_head,
        window=config.window_tokens,
        dropout=config.attention_dropout,
    )
    feedforward = GatedFeedForward(config.width, config.inner_width, "silu")
    norms = [RMSNorm(config.width, config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


class Mistral(nn.Module):
    """Decoder-only Transformer with a sliding window; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: MistralConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width_of_head, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)
        smaller_residuals_(self, config.layers)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens."""
        config, like = self.config, self.embedding.weight
        return State.of_caches(
            rows, config.groups, capacity, config.width_of_head, layers=config.layers, like=like, windows=config.windows
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
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md."""
        x = embedded(self, tokens, embeddings)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        rotation = self.rotary(layout.positions, x.dtype, layout.reach)
        x, collected = through(self.blocks, x, layout, rotation, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


SIZES = {
    "mistral-7b-v0.1": MistralConfig(key_value_heads=8),
    "mistral-7b-v0.3": MistralConfig(
        vocabulary_size=32768, key_value_heads=8, rope=Rope(base=1000000.0), window_tokens=None
    ),
}
"""Table 1 of the paper; version 0.3 as released (no window, a vocabulary with control pieces)."""


def weight_map(config: MistralConfig) -> WeightMap:
    """Between our names and those of ``MistralForCausalLM``: q, k, v are one matrix here, gate and up another."""
    keys = config.groups * config.width_of_head
    entries = llama_attention((config.heads * config.width_of_head, keys, keys))
    return llama_map(config, entries + llama_feedforward(config.inner_width))
