"""OLMo 2 (OLMo team 2025, "2 OLMo 2 Furious").

LLaMA made to train without spikes (sections 2.1 and 3): the norm stands behind each sub-block, before its result is
added, so that nothing of the residual stream is normed but at its end; and queries and keys are normed, all heads of a
token together.
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
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.attention.rotary_attention import NormOverHeads, RotaryAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap

_FIELDS = llama_fields(vocabulary_size=50304, norm_epsilon=1e-5) | {"attention_bias": ("attention_bias", False)}


@dataclass(frozen=True, kw_only=True)
class Olmo2Config:
    """Shape of an OLMo 2; the defaults are the 7B model's."""

    vocabulary_size: int = 100352
    """Number of pieces V."""
    width: int = 4096
    """Width D of the residual stream."""
    layers: int = 32
    """Number of blocks."""
    heads: int = 32
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    inner_width: int = 11008
    """Width F of the feed-forward layer."""
    context_tokens: int = 4096
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=lambda: Rope(base=500000.0))
    """Rotary positions and their scaling."""
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

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Olmo2Config":
        """From a ``config.json`` of ``model_type`` olmo2; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu", clip_qkv=None)  # OLMo 1 cut the projections off
        return cls(**read_fields(config, _FIELDS), rope=rope_of_whole_heads(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "olmo2", "Olmo2ForCausalLM")


class Block(nn.Module):
    """x + norm(attention(x)), then x + norm(feedforward(x))."""

    def __init__(self, config: Olmo2Config) -> None:
        super().__init__()
        head_width, epsilon = config.width // config.heads, config.norm_epsilon
        norms = NormOverHeads(config.heads, head_width, epsilon), NormOverHeads(config.groups, head_width, epsilon)
        self.attention = RotaryAttention(
            config.width,
            config.heads,
            config.groups,
            head_width,
            bias=config.attention_bias,
            output_bias=config.attention_bias,
            norms=norms,
            dropout=config.attention_dropout,
        )
        self.after_attention = nn.Identity()  # seat for an adapter
        self.attention_norm = RMSNorm(config.width, epsilon)
        self.feedforward = GatedFeedForward(config.width, config.inner_width, "silu")
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.feedforward_norm = RMSNorm(config.width, epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention_norm(self.attention(x, layout, rotation, cache, probabilities))
        x = x + self.dropout(self.after_attention(mixed))
        return x + self.dropout(self.after_feedforward(self.feedforward_norm(self.feedforward(x))))


class Olmo2(nn.Module):
    """Decoder-only Transformer with norms behind its sub-blocks; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: Olmo2Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width // config.heads, config.context_tokens)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)  # and residual branches begin no smaller with depth (section 3)

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
    "olmo-2-1b": Olmo2Config(width=2048, layers=16, heads=16, inner_width=8192),
    "olmo-2-7b": Olmo2Config(),
    "olmo-2-13b": Olmo2Config(width=5120, layers=40, heads=40, inner_width=13824),
    "olmo-2-32b": Olmo2Config(width=5120, layers=64, heads=40, key_value_heads=8, inner_width=27648),
}
"""The 7B and 13B models of the paper, the 1B and 32B of 2025; as released."""


def weight_map(config: Olmo2Config) -> WeightMap:
    """Between our names and those of ``Olmo2ForCausalLM``: q, k, v are one matrix here, gate and up another."""
    ours, theirs, bias = "blocks.{i}.attention.", "model.layers.{i}.self_attn.", config.attention_bias
    keys = config.groups * (config.width // config.heads)
    entries = llama_attention((config.width, keys, keys), bias=bias, output_bias=bias)
    names = [(f"{ours}{word}_norm.norm", f"{theirs}{word[0]}_norm") for word in ("query", "key")]
    norms = {"attention_norm": "post_attention_layernorm", "feedforward_norm": "post_feedforward_layernorm"}
    entries += modules(names, bias=False) + llama_feedforward(config.inner_width)
    return llama_map(config, entries, norms=norms)
