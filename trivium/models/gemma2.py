"""Gemma 2 (Gemma Team 2024b, "Gemma 2: Improving Open Language Models at a Practical Size").

What it adds to Gemma (section 2): norms behind each sub-block as well as before it, scores and logits that are capped
softly, and a window for every other layer. Queries are divided by the root of a number of their own.
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
    read_window_layers,
    rope_of_whole_heads,
    write_layer_types,
    write_llama,
)
from trivium.models.gemma_format import ACTIVATION, SANDWICH_NORMS, check_gemma
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded, scaled
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.sandwich_block import SandwichBlock
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap

_FIELDS = llama_fields(
    vocabulary_size=256000,
    width=2304,
    layers=26,
    heads=8,
    key_value_heads=4,
    inner_width=9216,
    context_tokens=8192,
    tied=True,
) | {
    "head_width": ("head_dim", 256),
    "score_divisor": ("query_pre_attn_scalar", 256),
    "window_tokens": ("sliding_window", 4096),
    "score_cap": ("attn_logit_softcapping", 50.0),
    "logit_cap": ("final_logit_softcapping", 30.0),
    "attention_bias": ("attention_bias", False),
}


def _has_window(layer: int) -> bool:
    """Whether it is a local layer where nothing is said: they take turns, the first is local."""
    return layer % 2 == 0


@dataclass(frozen=True, kw_only=True)
class Gemma2Config:
    """Shape of a Gemma 2; the defaults are the 2B model's, but for its ``key_value_heads`` of 4."""

    vocabulary_size: int = 256000
    """Number of pieces V."""
    width: int = 2304
    """Width D of the residual stream."""
    layers: int = 26
    """Number of blocks."""
    heads: int = 8
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    head_width: int = 256
    """Width K of a head."""
    score_divisor: float | None = None
    """Scores are divided by its square root; ``head_width`` where not given."""
    inner_width: int = 9216
    """Width F of the feed-forward layer."""
    context_tokens: int = 8192
    """Longest text of pre-training."""
    window_tokens: int | None = 4096
    """How many tokens a local layer sees, the last of them the one it is at."""
    window_layers: tuple[int, ...] | None = None
    """The local layers, counted from 0; every other one, beginning with the first, where not given."""
    score_cap: float | None = 50.0
    """Scores s become cap * tanh(s / cap)."""
    logit_cap: float | None = 30.0
    """The same for logits."""
    rope: Rope = field(default_factory=Rope)
    """Rotary positions and their scaling."""
    norm_epsilon: float = 1e-6
    """Added to the mean square in the norms."""
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
        check_window(self.window_tokens, self.local_layers, self.layers)

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def local_layers(self) -> tuple[int, ...]:
        """The layers with a window."""
        if self.window_layers is not None:
            return self.window_layers
        return tuple(layer for layer in range(self.layers) if _has_window(layer))

    @property
    def windows(self) -> list[int | None]:
        """The window of each layer."""
        return [self.window_tokens if layer in self.local_layers else None for layer in range(self.layers)]

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Gemma2Config":
        """From a ``config.json`` of ``model_type`` gemma2; ``Unsupported`` for what this file does not compute."""
        check_gemma(config)
        fields = read_fields(config, _FIELDS)
        local = read_window_layers(config, fields["layers"], _has_window)
        return cls(**fields, window_layers=local, rope=rope_of_whole_heads(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "gemma2", "Gemma2ForCausalLM") | {
            "query_pre_attn_scalar": self.score_divisor or self.head_width,
            "layer_types": write_layer_types(self.local_layers, self.layers),
            **ACTIVATION,
        }


def _block(config: Gemma2Config, window: int | None) -> SandwichBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.head_width,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        scale=(config.score_divisor or config.head_width) ** -0.5,
        window=window,
        soft_cap=config.score_cap,
        dropout=config.attention_dropout,
    )
    return SandwichBlock(
        config.width,
        attention,
        GatedFeedForward(config.width, config.inner_width, "gelu_tanh"),
        norm_epsilon=config.norm_epsilon,
        norm_offset=1.0,
        dropout=config.dropout,
    )


class Gemma2(nn.Module):
    """Decoder-only Transformer with rotary positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: Gemma2Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.head_width, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config, window) for window in config.windows)
        self.norm = RMSNorm(config.width, config.norm_epsilon, offset=1.0)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, soft_cap=config.logit_cap)
        self.apply(normal_)  # residual projections too: the norm behind them decides how much is added

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, times sqrt(D)."""
        return scaled(self.embedding(tokens))

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
        rotations = (self.rotary(layout.positions, x.dtype, layout.reach),)
        x, collected = through(self.blocks, x, layout, rotations, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


SIZES = {
    "gemma-2-2b": Gemma2Config(key_value_heads=4),
    "gemma-2-9b": Gemma2Config(width=3584, layers=42, heads=16, key_value_heads=8, inner_width=14336),
    "gemma-2-27b": Gemma2Config(
        width=4608,
        layers=46,
        heads=32,
        key_value_heads=16,
        head_width=128,
        score_divisor=144,  # width / heads
        inner_width=36864,
    ),
}
"""Table 1 of the paper (its feed-forward widths count gate and up together); the divisor is the released config's."""


def weight_map(config: Gemma2Config) -> WeightMap:
    """Between our names and those of ``Gemma2ForCausalLM``: q, k, v are one matrix here, gate and up another."""
    keys, bias = config.groups * config.head_width, config.attention_bias
    entries = llama_attention((config.heads * config.head_width, keys, keys), bias=bias, output_bias=bias)
    return llama_map(config, entries + llama_feedforward(config.inner_width), norms=SANDWICH_NORMS)
