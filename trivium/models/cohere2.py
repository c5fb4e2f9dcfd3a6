"""Cohere's Command R7B and Command A (Cohere 2025, "Command A: An Enterprise-Ready Large Language Model").

Command R's parallel block in two kinds of layer: three with a sliding window and RoPE, then one that sees the whole
text and knows no positions (Kazemnejad et al. 2023, "NoPE"), which therefore has none to outgrow.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported
from trivium.models.decoder_format import (
    check_heads,
    check_window,
    llama_attention,
    llama_feedforward,
    llama_fields,
    llama_map,
    read_fields,
    read_window_layers,
    require,
    rope_of_whole_heads,
    write_layer_types,
    write_llama,
)
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.output import Output
from trivium.nn.parallel_block import ParallelBlock
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap

_FIELDS = llama_fields(
    vocabulary_size=256000, width=8192, layers=40, heads=64, inner_width=22528, context_tokens=8192, tied=True
) | {
    "window_tokens": ("sliding_window", 4096),
    "logit_scale": ("logit_scale", 0.0625),
    "norm_epsilon": ("layer_norm_eps", 1e-5),
    "attention_bias": ("attention_bias", False),
}
_FIXED = {
    "order_of_interleaved_layers": "local_attn_first",
    "position_embedding_type": "rope_gptj",
    "rotary_pct": 1.0,
    "use_gated_activation": True,
    "use_parallel_block": True,
    "use_qk_norm": False,
}
"""Options of the first files that have one value."""


def _has_window(layer: int, rhythm: int = 4) -> bool:
    """All layers but every ``rhythm``-th."""
    return (layer + 1) % rhythm != 0


@dataclass(frozen=True, kw_only=True)
class Cohere2Config:
    """Shape of a Cohere 2; the defaults are Command R7B's, but for ``key_value_heads`` (8 there)."""

    vocabulary_size: int = 256000
    """Number of pieces V."""
    width: int = 4096
    """Width D of the residual stream."""
    layers: int = 32
    """Number of blocks."""
    heads: int = 32
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    inner_width: int = 14336
    """Width F of the feed-forward layer."""
    context_tokens: int = 8192
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=lambda: Rope(base=50000.0))
    """Rotary positions and their scaling."""
    window_tokens: int = 4096
    """In layers with a window a token sees itself and the ``window_tokens - 1`` before it."""
    window_layers: tuple[int, ...] | None = None
    """The layers (from 0) that have a window and positions; all but every fourth where not given."""
    logit_scale: float = 0.25
    """The logits are multiplied by it."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    attention_bias: bool = False
    """Biases on the q, k, v and output projections."""
    dropout: float = 0.0
    """Dropout on residual branches; ours, for small corpora (the published models use none)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)
        check_window(self.window_tokens, self.window_layers or (), self.layers)

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The window of each layer; None for those that see everything."""
        layers = range(self.layers)
        local = set(filter(_has_window, layers) if self.window_layers is None else self.window_layers)
        return tuple(self.window_tokens if layer in local else None for layer in layers)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Cohere2Config":
        """From a ``config.json`` of ``model_type`` cohere2; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu", **_FIXED)
        fields, rhythm = read_fields(config, _FIELDS), config.get("sliding_window_pattern", 4)
        if fields["window_tokens"] is None:
            raise Unsupported("sliding_window", received=None, expected="a number of tokens")
        local = read_window_layers(config, fields["layers"], lambda layer: _has_window(layer, rhythm))
        return cls(**fields, rope=rope_of_whole_heads(config), window_layers=local)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        local = [layer for layer, window in enumerate(self.windows) if window is not None]
        types = {"layer_types": write_layer_types(local, self.layers)}
        return write_llama(self, _FIELDS, "cohere2", "Cohere2ForCausalLM") | types


def _block(config: Cohere2Config, window: int | None) -> ParallelBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.width // config.heads,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        neighbours=True,
        window=window,
        dropout=config.attention_dropout,
    )
    feedforward = GatedFeedForward(config.width, config.inner_width, "silu")
    norm = nn.LayerNorm(config.width, config.norm_epsilon, bias=False)
    return ParallelBlock(norm, attention, feedforward, dropout=config.dropout, positions=window is not None)


class Cohere2(nn.Module):
    """Decoder-only Transformer of local and global parallel blocks; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: Cohere2Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width // config.heads, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config, window) for window in config.windows)
        self.norm = nn.LayerNorm(config.width, config.norm_epsilon, bias=False)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, scale=config.logit_scale)
        self.apply(normal_)
        smaller_residuals_(self, config.layers)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens."""
        groups, windows, like = self.config.groups, self.config.windows, self.embedding.weight
        width = self.config.width // self.config.heads
        return State.of_caches(rows, groups, capacity, width, layers=len(windows), like=like, windows=windows)

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


SIZES = {"command-r7b": Cohere2Config(key_value_heads=8)}
"""As released in December 2024."""


def weight_map(config: Cohere2Config) -> WeightMap:
    """Between our names and those of ``Cohere2ForCausalLM``: q, k, v are one matrix here, gate and up another."""
    keys, bias = config.groups * (config.width // config.heads), config.attention_bias
    entries = llama_attention((config.width, keys, keys), bias=bias, output_bias=bias)
    return llama_map(config, entries + llama_feedforward(config.inner_width), norms={"norm": "input_layernorm"})
