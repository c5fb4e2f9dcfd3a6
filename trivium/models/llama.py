"""LLaMA 1-3 (Touvron et al. 2023a, 2023b; Grattafiori et al. 2024).

The decoder of GPT-2 with three changes (Touvron et al. 2023a, section 2.2): RMSNorm before each
sub-block, a SwiGLU feed-forward layer, rotary positions. LLaMA 2 adds grouped-query attention to its
larger models; LLaMA 3 a larger vocabulary and a stretched RoPE.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import (
    check_heads,
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

_FIELDS = llama_fields() | {
    "head_width": ("head_dim", None),
    "attention_bias": ("attention_bias", False),
    "feedforward_bias": ("mlp_bias", False),
}


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """Shape of a LLaMA; the defaults are the 7B model's."""

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
    inner_width: int = 11008
    """Width F of the feed-forward layer."""
    context_tokens: int = 2048
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=Rope)
    """Rotary positions and their scaling."""
    norm_epsilon: float = 1e-6
    """Added to the mean square in the norms."""
    attention_bias: bool = False
    """Biases on the q, k, v and output projections."""
    feedforward_bias: bool = False
    """Biases in the feed-forward layer."""
    dropout: float = 0.0
    """Dropout on residual branches; ours, for small corpora (the published models use none)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = False
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def width_of_head(self) -> int:
        """Head width K."""
        return self.head_width or self.width // self.heads

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "LlamaConfig":
        """From a ``config.json`` of ``model_type`` llama; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu", pretraining_tp=1)
        return cls(**read_fields(config, _FIELDS), rope=rope_of_whole_heads(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "llama", "LlamaForCausalLM") | {"head_dim": self.width_of_head}


def _block(config: LlamaConfig) -> PreNormBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.width_of_head,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        dropout=config.attention_dropout,
    )
    feedforward = GatedFeedForward(config.width, config.inner_width, "silu", bias=config.feedforward_bias)
    norms = [RMSNorm(config.width, config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


class Llama(nn.Module):
    """Decoder-only Transformer with rotary positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: LlamaConfig) -> None:
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
        groups, width, like = self.config.groups, self.config.width_of_head, self.embedding.weight
        return State.of_caches(rows, groups, capacity, width, layers=self.config.layers, like=like)

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


_LLAMA3_ROPE = Rope(
    kind="llama3",
    base=500000.0,
    factor=8.0,
    low_frequency_factor=1.0,
    high_frequency_factor=4.0,
    original_context_tokens=8192,
)

SIZES = {
    "llama-7b": LlamaConfig(),
    "llama-13b": LlamaConfig(width=5120, layers=40, heads=40, inner_width=13824),
    "llama-33b": LlamaConfig(width=6656, layers=60, heads=52, inner_width=17920),
    "llama-65b": LlamaConfig(width=8192, layers=80, heads=64, inner_width=22016),
    "llama-2-70b": LlamaConfig(
        width=8192, layers=80, heads=64, key_value_heads=8, inner_width=28672, context_tokens=4096, norm_epsilon=1e-5
    ),
    "llama-3.1-8b": LlamaConfig(
        vocabulary_size=128256,
        key_value_heads=8,
        inner_width=14336,
        context_tokens=131072,
        rope=_LLAMA3_ROPE,
        norm_epsilon=1e-5,
    ),
}
"""Table 2 of Touvron et al. 2023a, table 1 of 2023b, table 3 of Grattafiori et al. 2024."""


def weight_map(config: LlamaConfig) -> WeightMap:
    """Between our names and those of ``LlamaForCausalLM``: q, k, v are one matrix here, gate and up another."""
    keys = config.groups * config.width_of_head
    sizes, bias = (config.heads * config.width_of_head, keys, keys), config.attention_bias
    entries = llama_attention(sizes, bias=bias, output_bias=bias)
    entries += llama_feedforward(config.inner_width, bias=config.feedforward_bias)
    return llama_map(config, entries, ignored=("model.layers.{i}.self_attn.rotary_emb.inv_freq",))  # of old files
