"""Gemma (Gemma Team 2024a, "Gemma: Open Models Based on Gemini Research and Technology").

LLaMA with the choices of the T5 line (section 2): embeddings times sqrt(D), a GeGLU feed-forward layer (Shazeer 2020),
heads of 256 features whatever the width, and in the small model one head of keys and values for all queries (Shazeer
2019). The gain of a norm is kept as its distance from 1.
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
    rope_of_whole_heads,
    write_llama,
)
from trivium.models.gemma_format import ACTIVATION, check_gemma
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded, scaled
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.pre_norm_block import PreNormBlock
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap

_FIELDS = llama_fields(
    vocabulary_size=256000,
    width=3072,
    layers=28,
    heads=16,
    key_value_heads=16,
    inner_width=24576,
    context_tokens=8192,
    tied=True,
) | {"head_width": ("head_dim", 256), "attention_bias": ("attention_bias", False)}


@dataclass(frozen=True, kw_only=True)
class GemmaConfig:
    """Shape of a Gemma; the defaults are the 7B model's."""

    vocabulary_size: int = 256000
    """Number of pieces V."""
    width: int = 3072
    """Width D of the residual stream."""
    layers: int = 28
    """Number of blocks."""
    heads: int = 16
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    head_width: int = 256
    """Width K of a head."""
    inner_width: int = 24576
    """Width F of the feed-forward layer."""
    context_tokens: int = 8192
    """Longest text of pre-training."""
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

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GemmaConfig":
        """From a ``config.json`` of ``model_type`` gemma; ``Unsupported`` for what this file does not compute."""
        check_gemma(config)
        return cls(**read_fields(config, _FIELDS), rope=rope_of_whole_heads(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "gemma", "GemmaForCausalLM") | ACTIVATION


def _block(config: GemmaConfig) -> PreNormBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.head_width,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        dropout=config.attention_dropout,
    )
    feedforward = GatedFeedForward(config.width, config.inner_width, "gelu_tanh")
    norms = [RMSNorm(config.width, config.norm_epsilon, offset=1.0) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


class Gemma(nn.Module):
    """Decoder-only Transformer with rotary positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: GemmaConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.head_width, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon, offset=1.0)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)
        smaller_residuals_(self, config.layers)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, times sqrt(D)."""
        return scaled(self.embedding(tokens))

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens."""
        groups, width, like = self.config.groups, self.config.head_width, self.embedding.weight
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


SIZES = {
    "gemma-2b": GemmaConfig(width=2048, layers=18, heads=8, key_value_heads=1, inner_width=16384),
    "gemma-7b": GemmaConfig(key_value_heads=16),
}
"""Table 1 of the paper; its feed-forward widths count gate and up together."""


def weight_map(config: GemmaConfig) -> WeightMap:
    """Between our names and those of ``GemmaForCausalLM``: q, k, v are one matrix here, gate and up another."""
    keys, bias = config.groups * config.head_width, config.attention_bias
    entries = llama_attention((config.heads * config.head_width, keys, keys), bias=bias, output_bias=bias)
    entries += llama_feedforward(config.inner_width)
    return llama_map(config, entries, ignored=("model.layers.{i}.self_attn.rotary_emb.inv_freq",))  # of old files
