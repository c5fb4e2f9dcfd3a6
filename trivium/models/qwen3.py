"""Qwen3 (Yang et al. 2025), the dense models.

Qwen2 without its biases, and with an RMSNorm on each head of the queries and keys instead (section 2, "QK-Norm"), so
that scores cannot grow while training; the width of a head no longer follows that of the model.
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
    modules,
    read_fields,
    require,
    rope_of_whole_heads,
    write_llama,
)
from trivium.models.qwen_format import read_windows, write_windows
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

_FIELDS = llama_fields(vocabulary_size=151936, inner_width=22016, key_value_heads=32, context_tokens=32768) | {
    "head_width": ("head_dim", 128),
    "attention_bias": ("attention_bias", False),
}


@dataclass(frozen=True, kw_only=True)
class Qwen3Config:
    """Shape of a Qwen3; the defaults are the 8B model's, but for ``key_value_heads`` (8 there)."""

    vocabulary_size: int = 151936
    """Number of pieces V."""
    width: int = 4096
    """Width D of the residual stream."""
    layers: int = 36
    """Number of blocks."""
    heads: int = 32
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    head_width: int = 128
    """Width K of a head."""
    inner_width: int = 12288
    """Width F of the feed-forward layer."""
    context_tokens: int = 40960
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=lambda: Rope(base=1000000.0))
    """Rotary positions and their scaling."""
    window_tokens: int | None = None
    """In layers with a window a token sees itself and the ``window_tokens - 1`` before it."""
    window_layers: tuple[int, ...] = ()
    """The layers (from 0) that have a window; the others see everything."""
    norm_epsilon: float = 1e-6
    """Added to the mean square in the norms."""
    attention_bias: bool = False
    """Biases on the q, k, v and output projections."""
    dropout: float = 0.0
    """Dropout on residual branches; ours, for small corpora (the published models use none)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = False
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)
        check_window(self.window_tokens, self.window_layers, self.layers)

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The window of each layer; None for those that see everything."""
        return tuple(self.window_tokens if layer in self.window_layers else None for layer in range(self.layers))

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Qwen3Config":
        """From a ``config.json`` of ``model_type`` qwen3; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu")
        fields = read_fields(config, _FIELDS)
        return cls(**fields, **read_windows(config, fields["layers"]), rope=rope_of_whole_heads(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "qwen3", "Qwen3ForCausalLM") | write_windows(self)


def _block(config: Qwen3Config, window: int | None) -> PreNormBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.head_width,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        norms=(RMSNorm(config.head_width, config.norm_epsilon), RMSNorm(config.head_width, config.norm_epsilon)),
        window=window,
        dropout=config.attention_dropout,
    )
    feedforward = GatedFeedForward(config.width, config.inner_width, "silu")
    norms = [RMSNorm(config.width, config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


class Qwen3(nn.Module):
    """Decoder-only Transformer with normed queries and keys; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.head_width, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config, window) for window in config.windows)
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
            rows, config.groups, capacity, config.head_width, layers=config.layers, like=like, windows=config.windows
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
    "qwen3-0.6b": Qwen3Config(width=1024, layers=28, heads=16, key_value_heads=8, inner_width=3072, tied=True),
    "qwen3-1.7b": Qwen3Config(width=2048, layers=28, heads=16, key_value_heads=8, inner_width=6144, tied=True),
    "qwen3-4b": Qwen3Config(width=2560, key_value_heads=8, inner_width=9728, tied=True),
    "qwen3-8b": Qwen3Config(key_value_heads=8),
    "qwen3-14b": Qwen3Config(width=5120, layers=40, heads=40, key_value_heads=8, inner_width=17408),
    "qwen3-32b": Qwen3Config(width=5120, layers=64, heads=64, key_value_heads=8, inner_width=25600),
}
"""Table 1 of the paper; widths and the rows of the embedding as released."""


def weight_map(config: Qwen3Config) -> WeightMap:
    """Between our names and those of ``Qwen3ForCausalLM``: q, k, v are one matrix here, gate and up another."""
    ours, theirs, bias = "blocks.{i}.attention.", "model.layers.{i}.self_attn.", config.attention_bias
    keys = config.groups * config.head_width
    entries = llama_attention((config.heads * config.head_width, keys, keys), bias=bias, output_bias=bias)
    entries += modules([(ours + "query_norm", theirs + "q_norm"), (ours + "key_norm", theirs + "k_norm")], bias=False)
    return llama_map(config, entries + llama_feedforward(config.inner_width))
