"""BLOOM (Le Scao et al. 2022, "BLOOM: A 176B-Parameter Open-Access Multilingual Language Model").

GPT-2's block with ALiBi instead of positions, and one more norm, on the embeddings, for a stable start (section 3.2).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import check_heads, modules, read_fields, with_head, write_fields
from trivium.models.gpt_format import NO_SPECIAL_IDS, megatron_linears
from trivium.nn.attention.kernel import Bias
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.megatron_attention import MegatronAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.output import Output
from trivium.nn.positions.alibi import alibi
from trivium.nn.state import KeyValueCache, State
from trivium.nn.weight_map import Rename, WeightMap

_FIELDS = {
    "vocabulary_size": ("vocab_size", 250880),
    "width": ("hidden_size", 64),
    "layers": ("n_layer", 2),
    "heads": ("n_head", 8),
    "context_tokens": ("seq_length", 2048),
    "normed_residual": ("apply_residual_connection_post_layernorm", False),
    "dropout": ("hidden_dropout", 0.0),
    "attention_dropout": ("attention_dropout", 0.0),
    "norm_epsilon": ("layer_norm_epsilon", 1e-5),
    "tied": ("tie_word_embeddings", True),
}
# The released files have older names.
_RENAMED = {"n_embed": "hidden_size", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}


@dataclass(frozen=True, kw_only=True)
class BloomConfig:
    """Shape of a BLOOM; the defaults are the 176B model's. Its feed-forward layers are four times as wide as its
    blocks."""

    vocabulary_size: int = 250880
    """Number of pieces V."""
    width: int = 14336
    """Width D of the residual stream."""
    layers: int = 70
    """Number of blocks."""
    heads: int = 112
    """Attention heads H; ``width`` is a multiple of it."""
    context_tokens: int = 2048
    """Longest text of pre-training; ALiBi itself has no limit."""
    normed_residual: bool = False
    """What a sub-block adds is added to its normed input, not to its input (no published model)."""
    dropout: float = 0.0
    """Dropout on residual branches."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "BloomConfig":
        """From a ``config.json`` of ``model_type`` bloom.

        ``pretraining_tp`` and ``slow_but_exact`` are about the order of sums, which is the kernel's here.
        """
        renamed = {new: config[old] for old, new in _RENAMED.items() if old in config}
        return cls(**read_fields({**config, **renamed}, _FIELDS))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return {
            "model_type": "bloom",
            "architectures": ["BloomForCausalLM"],
            **write_fields(self, _FIELDS),
            **NO_SPECIAL_IDS,
        }


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)); or norm(x) + ... in both."""

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        heads = config.heads
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.attention = MegatronAttention(config.width, heads, heads, bias=True, dropout=config.attention_dropout)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.feedforward = FeedForward(config.width, 4 * config.width, "gelu_tanh")
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(config.dropout)
        self.normed_residual = config.normed_residual

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        bias: Bias,
        cache: KeyValueCache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        normed = self.attention_norm(x)
        mixed = self.attention(normed, layout, cache, probabilities, bias=bias)
        x = (normed if self.normed_residual else x) + self.dropout(self.after_attention(mixed))
        normed = self.feedforward_norm(x)
        inner = self.feedforward(normed)
        return (normed if self.normed_residual else x) + self.dropout(self.after_feedforward(inner))


class Bloom(nn.Module):
    """Decoder-only Transformer with linear biases by distance; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.embedding_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)
        smaller_residuals_(self, config.layers)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, before their norm."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens."""
        heads, like = self.config.heads, self.embedding.weight
        width = self.config.width // heads
        return State.of_caches(rows, heads, capacity, width, layers=self.config.layers, like=like)

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
        x = self.embedding_norm(embedded(self, tokens, embeddings))
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        bias = alibi(self.config.heads, like=x)
        x, collected = through(self.blocks, x, layout, bias, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


SIZES = {
    "bloom-560m": BloomConfig(width=1024, layers=24, heads=16),
    "bloom-1b1": BloomConfig(width=1536, layers=24, heads=16),
    "bloom-1b7": BloomConfig(width=2048, layers=24, heads=16),
    "bloom-3b": BloomConfig(width=2560, layers=30, heads=32),
    "bloom-7b1": BloomConfig(width=4096, layers=30, heads=32),
    "bloom": BloomConfig(),
}
"""Table 3 of the paper."""


def weight_map(config: BloomConfig) -> WeightMap:
    """Between our names and those of ``BloomForCausalLM``, whose queries, keys and values stand by head."""
    block, layer = "blocks.{i}.", "transformer.h.{i}."
    attention, feedforward = megatron_linears(layer, "self_attention")
    norms = [
        ("embedding_norm", "transformer.word_embeddings_layernorm"),
        (f"{block}attention_norm", f"{layer}input_layernorm"),
        (f"{block}feedforward_norm", f"{layer}post_attention_layernorm"),
        ("norm", "transformer.ln_f"),
    ]
    embedding = Rename("embedding.weight", "transformer.word_embeddings.weight")
    return with_head([embedding, *modules(norms + attention + feedforward)], config, "lm_head")
