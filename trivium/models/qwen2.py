"""Qwen2 and Qwen2.5 (Yang et al. 2024a, 2024b).

LLaMA with biases on queries, keys and values alone (2024a, section 2.2.1; they help RoPE beyond the trained length),
grouped-query attention in every size, and a sliding window that upper layers may have.
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

_FIELDS = llama_fields(vocabulary_size=151936, inner_width=22016, key_value_heads=32, context_tokens=32768)


@dataclass(frozen=True, kw_only=True)
class Qwen2Config:
    """Shape of a Qwen2; the defaults are the 7B model's, but for ``key_value_heads`` (4 there)."""

    vocabulary_size: int = 152064
    """Number of pieces V."""
    width: int = 3584
    """Width D of the residual stream."""
    layers: int = 28
    """Number of blocks."""
    heads: int = 28
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    inner_width: int = 18944
    """Width F of the feed-forward layer."""
    context_tokens: int = 131072
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=lambda: Rope(base=1000000.0))
    """Rotary positions and their scaling."""
    window_tokens: int | None = None
    """In layers with a window a token sees itself and the ``window_tokens - 1`` before it."""
    window_layers: tuple[int, ...] = ()
    """The layers (from 0) that have a window; the others see everything."""
    norm_epsilon: float = 1e-6
    """Added to the mean square in the norms."""
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
    def from_hf(cls, config: dict[str, Any]) -> "Qwen2Config":
        """From a ``config.json`` of ``model_type`` qwen2; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu")
        fields = read_fields(config, _FIELDS)
        return cls(**fields, **read_windows(config, fields["layers"]), rope=rope_of_whole_heads(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "qwen2", "Qwen2ForCausalLM") | write_windows(self)


def _block(config: Qwen2Config, window: int | None) -> PreNormBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.width // config.heads,
        bias=True,
        window=window,
        dropout=config.attention_dropout,
    )
    feedforward = GatedFeedForward(config.width, config.inner_width, "silu")
    norms = [RMSNorm(config.width, config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


class Qwen2(nn.Module):
    """Decoder-only Transformer with biases on q, k and v; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width // config.heads, config.context_tokens)
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


SIZES = {
    "qwen2-0.5b": Qwen2Config(
        vocabulary_size=151936, width=896, layers=24, heads=14, key_value_heads=2, inner_width=4864, tied=True
    ),
    "qwen2-1.5b": Qwen2Config(
        vocabulary_size=151936, width=1536, heads=12, key_value_heads=2, inner_width=8960, tied=True
    ),
    "qwen2-7b": Qwen2Config(key_value_heads=4),
    "qwen2-72b": Qwen2Config(width=8192, layers=80, heads=64, key_value_heads=8, inner_width=29568, norm_epsilon=1e-5),
    "qwen2.5-3b": Qwen2Config(
        vocabulary_size=151936,
        width=2048,
        layers=36,
        heads=16,
        key_value_heads=2,
        inner_width=11008,
        context_tokens=32768,
        tied=True,
    ),
    "qwen2.5-14b": Qwen2Config(
        width=5120, layers=48, heads=40, key_value_heads=8, inner_width=13824, norm_epsilon=1e-5
    ),
    "qwen2.5-32b": Qwen2Config(
        width=5120, layers=64, heads=40, key_value_heads=8, inner_width=27648, norm_epsilon=1e-5
    ),
}
"""Table 1 of Yang et al. 2024a and of 2024b, of which the other sizes are shaped as Qwen2's; the rows of the embedding
(more than there are pieces) and the norms as in the released base models; the instructed 72B model has an epsilon of
1e-6."""


def weight_map(config: Qwen2Config) -> WeightMap:
    """Between our names and those of ``Qwen2ForCausalLM``: q, k, v are one matrix here, gate and up another."""
    keys = config.groups * (config.width // config.heads)
    entries = llama_attention((config.width, keys, keys), bias=True)
    return llama_map(config, entries + llama_feedforward(config.inner_width))
