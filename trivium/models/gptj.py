"""GPT-J (Wang and Komatsuzaki 2021, "GPT-J-6B: A 6 Billion Parameter Autoregressive Language Model").

The first large decoder with rotary positions, on a part of each head's features, and with attention and feed-forward
layer side by side: both read one norm, and are added together (as described with the release of mesh-transformer-jax).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.models.decoder_format import check_heads, fused, modules, read_fields, with_head, write_fields
from trivium.models.gpt_format import NO_SPECIAL_IDS, read_activation, write_activation
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation, FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.output import Output
from trivium.nn.parallel_block import ParallelBlock
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.state import State
from trivium.nn.weight_map import Rename, WeightMap

_FIELDS = {
    "vocabulary_size": ("vocab_size", 50400),
    "width": ("n_embd", 4096),
    "layers": ("n_layer", 28),
    "heads": ("n_head", 16),
    "inner_width": ("n_inner", None),
    "context_tokens": ("n_positions", 2048),
    "dropout": ("resid_pdrop", 0.0),
    "attention_dropout": ("attn_pdrop", 0.0),
    "norm_epsilon": ("layer_norm_epsilon", 1e-5),
    "tied": ("tie_word_embeddings", False),
}


@dataclass(frozen=True, kw_only=True)
class GPTJConfig:
    """Shape of a GPT-J; the defaults are the 6B model's."""

    vocabulary_size: int = 50400
    """Number of pieces V."""
    width: int = 4096
    """Width D of the residual stream."""
    layers: int = 28
    """Number of blocks."""
    heads: int = 16
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int | None = None
    """Width F of the feed-forward layer; 4 * width where not given."""
    context_tokens: int = 2048
    """Longest text of pre-training; RoPE itself has no limit."""
    rotary_width: int | None = None
    """How many features of each head turn, an even number; a quarter of the head where not given."""
    activation: Activation = "gelu_tanh"
    """Non-linearity of the feed-forward layer."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = False
    """Output weights are the input embedding; the output has a bias either way."""

    def __post_init__(self) -> None:
        check_heads(self)
        if self.turning_width % 2 or not 0 < self.turning_width <= self.width // self.heads:
            raise ConfigError(
                "RoPE turns pairs of a head's features",
                received=f"rotary_width {self.turning_width}",
                expected=f"an even number of at most {self.width // self.heads}, the width of a head",
            )

    @property
    def turning_width(self) -> int:
        """How many features of each head turn."""
        return self.width // self.heads // 4 if self.rotary_width is None else self.rotary_width

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GPTJConfig":
        """From a ``config.json`` of ``model_type`` gptj; ``Unsupported`` for what this file does not compute."""
        fields = read_fields(config, _FIELDS)
        if config.get("embd_pdrop", 0.0) != fields["dropout"]:
            raise Unsupported("different embd_pdrop and resid_pdrop", expected="one value for both")
        if config.get("rotary_dim", 64) is None:
            raise Unsupported("rotary_dim", received="null", expected="the number of features of a head that turn")
        activation = read_activation("activation_function", config.get("activation_function", "gelu_new"))
        return cls(**fields, rotary_width=config.get("rotary_dim", 64), activation=activation)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return {
            "model_type": "gptj",
            "architectures": ["GPTJForCausalLM"],
            **write_fields(self, _FIELDS),
            "embd_pdrop": self.dropout,
            "rotary_dim": self.turning_width,
            "activation_function": write_activation(self.activation),
            **NO_SPECIAL_IDS,
        }


def _block(config: GPTJConfig) -> ParallelBlock:
    width, heads = config.width, config.heads
    attention = RotaryAttention(width, heads, heads, width // heads, neighbours=True, dropout=config.attention_dropout)
    feedforward = FeedForward(width, config.inner_width or 4 * width, config.activation)
    norm = nn.LayerNorm(width, eps=config.norm_epsilon)
    return ParallelBlock(norm, attention, feedforward, dropout=config.dropout)


class GPTJ(nn.Module):
    """Decoder-only Transformer with rotary positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: GPTJConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.rotary = Rotary(Rope(), config.turning_width, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, bias=True)
        self.apply(normal_)
        smaller_residuals_(self, config.layers)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors."""
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
        x = self.dropout(embedded(self, tokens, embeddings))
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        rotation = self.rotary(layout.positions, x.dtype, layout.reach)
        x, collected = through(self.blocks, x, layout, rotation, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


SIZES = {"gpt-j-6b": GPTJConfig(rotary_width=64)}
"""The released configuration."""


def weight_map(config: GPTJConfig) -> WeightMap:
    """Between our names and those of ``GPTJForCausalLM``: q, k, v are one matrix here."""
    block, layer = "blocks.{i}.", "transformer.h.{i}."
    entries = [
        Rename("embedding.weight", "transformer.wte.weight"),
        *fused(f"{block}attention.qkv", [f"{layer}attn.{name}_proj" for name in "qkv"], [config.width] * 3),
        *modules([(f"{block}attention.output", f"{layer}attn.out_proj")], bias=False),
        *modules(
            [
                (f"{block}norm", f"{layer}ln_1"),
                (f"{block}feedforward.up", f"{layer}mlp.fc_in"),
                (f"{block}feedforward.down", f"{layer}mlp.fc_out"),
                ("norm", "transformer.ln_f"),
            ]
        ),
    ]
    ignored = (f"{layer}attn.bias", f"{layer}attn.masked_bias")  # causal-mask buffers of old files
    return with_head(entries, config, "lm_head", bias=True, ignored=ignored)
