"""Cohere's Command R (2024), as released: there is no paper.

A parallel block (Wang and Komatsuzaki 2021, GPT-J): attention and feed-forward layer read the same normed input, and
both are added. Layer norms without a bias, neighbours turned together by RoPE, and logits scaled by a constant. The
larger Command R+ norms its queries and keys, each head by itself with a gain of its own.
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
    modules,
    read_fields,
    require,
    rope_of_whole_heads,
    write_llama,
)
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import LayerNormOfHeads, RotaryAttention
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
    "qk_norm": ("use_qk_norm", False),
    "logit_scale": ("logit_scale", 0.0625),
    "norm_epsilon": ("layer_norm_eps", 1e-5),
    "attention_bias": ("attention_bias", False),
}


@dataclass(frozen=True, kw_only=True)
class CohereConfig:
    """Shape of a Command R; the defaults are the 35B model's."""

    vocabulary_size: int = 256000
    """Number of pieces V."""
    width: int = 8192
    """Width D of the residual stream."""
    layers: int = 40
    """Number of blocks."""
    heads: int = 64
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    inner_width: int = 22528
    """Width F of the feed-forward layer."""
    context_tokens: int = 8192
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=lambda: Rope(base=8000000.0))
    """Rotary positions and their scaling."""
    qk_norm: bool = False
    """Layer norms on queries and keys, with a gain for each feature of each head."""
    logit_scale: float = 0.0625
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

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "CohereConfig":
        """From a ``config.json`` of ``model_type`` cohere; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu")
        return cls(**read_fields(config, _FIELDS), rope=rope_of_whole_heads({"rope_theta": 500000.0, **config}))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "cohere", "CohereForCausalLM")


def _block(config: CohereConfig) -> ParallelBlock:
    head_width, epsilon = config.width // config.heads, config.norm_epsilon
    norms = LayerNormOfHeads(config.heads, head_width, epsilon), LayerNormOfHeads(config.groups, head_width, epsilon)
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        head_width,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        norms=norms if config.qk_norm else None,
        neighbours=True,
        dropout=config.attention_dropout,
    )
    feedforward = GatedFeedForward(config.width, config.inner_width, "silu")
    norm = nn.LayerNorm(config.width, epsilon, bias=False)
    return ParallelBlock(norm, attention, feedforward, dropout=config.dropout)


class Cohere(nn.Module):
    """Decoder-only Transformer of parallel blocks; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: CohereConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width // config.heads, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
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
        config, like = self.config, self.embedding.weight
        return State.of_caches(
            rows, config.groups, capacity, config.width // config.heads, layers=config.layers, like=like
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
    "command-r": CohereConfig(),
    "command-r-plus": CohereConfig(
        width=12288,
        layers=64,
        heads=96,
        key_value_heads=8,
        inner_width=33792,
        rope=Rope(base=75000000.0),
        qk_norm=True,
        logit_scale=0.8333333333333334,
    ),
}
"""The first releases, of March and April 2024."""


def weight_map(config: CohereConfig) -> WeightMap:
    """Between our names and those of ``CohereForCausalLM``: q, k, v are one matrix here, gate and up another."""
    ours, theirs, bias = "blocks.{i}.attention.", "model.layers.{i}.self_attn.", config.attention_bias
    keys = config.groups * (config.width // config.heads)
    entries = llama_attention((config.width, keys, keys), bias=bias, output_bias=bias)
    if config.qk_norm:
        names = [(ours + "query_norm", theirs + "q_norm"), (ours + "key_norm", theirs + "k_norm")]
        entries += modules(names, bias=False)
    return llama_map(config, entries + llama_feedforward(config.inner_width), norms={"norm": "input_layernorm"})
