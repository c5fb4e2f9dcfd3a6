"""OPT (Zhang et al. 2022, "OPT: Open Pre-trained Transformer Language Models").

GPT-3's shapes with ReLU and learned positions (section 2.1). OPT-350M has its norms after the residual sums, as GPT
has, and token vectors half as wide as its blocks.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import check_heads, fused, modules, read_fields, require, with_head, write_fields
from trivium.models.gpt_format import NO_SPECIAL_IDS, read_activation, write_activation
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.self_attention import SelfAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation, FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.state import KeyValueCache, State
from trivium.nn.weight_map import Rename, WeightMap

_FIELDS = {
    "vocabulary_size": ("vocab_size", 50272),
    "width": ("hidden_size", 768),
    "embedding_width": ("word_embed_proj_dim", None),
    "layers": ("num_hidden_layers", 12),
    "heads": ("num_attention_heads", 12),
    "inner_width": ("ffn_dim", 3072),
    "context_tokens": ("max_position_embeddings", 2048),
    "norm_first": ("do_layer_norm_before", True),
    "norm_weights": ("layer_norm_elementwise_affine", True),
    "bias": ("enable_bias", True),
    "dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.0),
    "tied": ("tie_word_embeddings", True),
}
_OFFSET = 2  # rows of the table of positions that belong to none; fairseq kept them for padding


@dataclass(frozen=True, kw_only=True)
class OPTConfig:
    """Shape of an OPT; the defaults are the 125M model's."""

    vocabulary_size: int = 50272
    """Number of pieces V."""
    width: int = 768
    """Width D of the residual stream."""
    embedding_width: int | None = None
    """Width E of token vectors, before and after the blocks; ``width`` where not given."""
    layers: int = 12
    """Number of blocks."""
    heads: int = 12
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int = 3072
    """Width F of the feed-forward layer."""
    context_tokens: int = 2048
    """Longest text, the size of the position table."""
    norm_first: bool = True
    """Norms stand before each sub-block and after the last, else after each residual sum (350M)."""
    norm_weights: bool = True
    """The norms have a gain and a bias."""
    activation: Activation = "relu"
    """Non-linearity of the feed-forward layer."""
    bias: bool = True
    """Biases in all linear layers of the blocks."""
    dropout: float = 0.0
    """Dropout on residual branches (0.1 in the published models)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)

    @property
    def width_of_embedding(self) -> int:
        """Width E of token vectors."""
        return self.embedding_width or self.width

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "OPTConfig":
        """From a ``config.json`` of ``model_type`` opt; ``Unsupported`` for what this file does not compute."""
        require(config, layerdrop=0.0, activation_dropout=0.0, _remove_final_layer_norm=False)
        activation = read_activation("activation_function", config.get("activation_function", "relu"))
        return cls(**read_fields(config, _FIELDS), activation=activation)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return {
            "model_type": "opt",
            "architectures": ["OPTForCausalLM"],
            **write_fields(self, _FIELDS),
            "word_embed_proj_dim": self.width_of_embedding,
            "activation_function": write_activation(self.activation),
            **NO_SPECIAL_IDS,
        }


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)); or norm(x + attention(x)), norm(x + feedforward(x))."""

    def __init__(self, config: OPTConfig) -> None:
        super().__init__()
        width, bias = config.width, config.bias
        self.attention_norm = nn.LayerNorm(width, elementwise_affine=config.norm_weights)
        self.attention = SelfAttention(
            width, config.heads, bias=bias, output_bias=bias, dropout=config.attention_dropout
        )
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(width, elementwise_affine=config.norm_weights)
        self.feedforward = FeedForward(width, config.inner_width, config.activation, bias=bias)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(config.dropout)
        self.norm_first = config.norm_first

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        cache: KeyValueCache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        read = self.attention_norm(x) if self.norm_first else x
        x = x + self.dropout(self.after_attention(self.attention(read, layout, cache, probabilities)))
        x = x if self.norm_first else self.attention_norm(x)
        read = self.feedforward_norm(x) if self.norm_first else x
        x = x + self.dropout(self.after_feedforward(self.feedforward(read)))
        return x if self.norm_first else self.feedforward_norm(x)


class OPT(nn.Module):
    """Decoder-only Transformer with learned positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: OPTConfig) -> None:
        super().__init__()
        self.config = config
        width, narrow = config.width, config.width_of_embedding
        self.embedding = nn.Embedding(config.vocabulary_size, narrow)
        self.projection_in = nn.Identity() if narrow == width else Linear(narrow, width, bias=False)
        self.positions = LearnedPositions(config.context_tokens, width, offset=_OFFSET)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=config.norm_weights) if config.norm_first else nn.Identity()
        self.projection_out = nn.Identity() if narrow == width else Linear(width, narrow, bias=False)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(narrow, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)
        if config.norm_first:
            smaller_residuals_(self, config.layers)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Token vectors, before positions are added."""
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
        embeddings: Float[Tensor, "B T E"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """Hidden states of ``tokens`` (or of ``embeddings``), both E wide, see the contract in docs/architecture.md."""
        x = embedded(self, tokens, embeddings)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        x = self.projection_in(x) + self.positions(layout.positions)
        x, collected = through(self.blocks, x, layout, state=state, collect=collect)
        return Output(self.projection_out(self.norm(x)), state, collected=collected)


def _size(width: int, layers: int, heads: int) -> OPTConfig:
    return OPTConfig(width=width, layers=layers, heads=heads, inner_width=4 * width)


SIZES = {
    "opt-125m": OPTConfig(),
    "opt-350m": OPTConfig(width=1024, embedding_width=512, layers=24, heads=16, inner_width=4096, norm_first=False),
    "opt-1.3b": _size(2048, 24, 32),
    "opt-2.7b": _size(2560, 32, 32),
    "opt-6.7b": _size(4096, 32, 32),
    "opt-13b": _size(5120, 40, 40),
    "opt-30b": _size(7168, 48, 56),
    "opt-66b": _size(9216, 64, 72),
    "opt-175b": _size(12288, 96, 96),
}
"""Table 1 of the paper; the 350M model's norms and token vectors as released."""


def weight_map(config: OPTConfig) -> WeightMap:
    """Between our names and those of ``OPTForCausalLM``: q, k, v are one matrix here."""
    block, layer = "blocks.{i}.", "model.decoder.layers.{i}."
    norms = [
        (f"{block}attention_norm", f"{layer}self_attn_layer_norm"),
        (f"{block}feedforward_norm", f"{layer}final_layer_norm"),
    ]
    linears = [
        (f"{block}attention.output", f"{layer}self_attn.out_proj"),
        (f"{block}feedforward.up", f"{layer}fc1"),
        (f"{block}feedforward.down", f"{layer}fc2"),
    ]
    projections = [("projection_in", "model.decoder.project_in"), ("projection_out", "model.decoder.project_out")]
    last = [("norm", "model.decoder.final_layer_norm")] if config.norm_first else []
    qkv = [f"{layer}self_attn.{name}_proj" for name in "qkv"]
    entries = [
        Rename("embedding.weight", "model.decoder.embed_tokens.weight"),
        Rename("positions.weight", "model.decoder.embed_positions.weight"),
        *modules(projections if config.width_of_embedding != config.width else [], bias=False),
        *modules(norms + last if config.norm_weights else []),
        *fused(f"{block}attention.qkv", qkv, [config.width] * 3, bias=config.bias),
        *modules(linears, bias=config.bias),
    ]
    return with_head(entries, config, "lm_head")
