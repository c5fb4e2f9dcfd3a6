"""GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners").

GPT's decoder with the layer norm moved to the input of each sub-block, one more norm at the end, and
residual projections initialised smaller with depth (section 2.3). Learned absolute positions, the
tanh approximation of GELU, tied embeddings.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.models.decoder_format import modules, with_head
from trivium.models.gpt_format import conv1d_blocks
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.self_attention import SelfAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation, FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.output import Output
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.pre_norm_block import PreNormBlock
from trivium.nn.state import State
from trivium.nn.weight_map import Rename, WeightMap

_ACTIVATIONS: dict[str, Activation] = {"gelu_new": "gelu_tanh", "gelu": "gelu", "relu": "relu", "silu": "silu"}


@dataclass(frozen=True, kw_only=True)
class GPT2Config:
    """Shape of a GPT-2; the defaults are the 124M model's."""

    vocabulary_size: int = 50257
    """Number of pieces V."""
    width: int = 768
    """Width D of the residual stream."""
    layers: int = 12
    """Number of blocks."""
    heads: int = 12
    """Attention heads H; ``width`` is a multiple of it."""
    context_tokens: int = 1024
    """Longest text, the size of the position table."""
    inner_width: int | None = None
    """Width F of the feed-forward layer; 4 * width where not given."""
    activation: Activation = "gelu_tanh"
    """Non-linearity of the feed-forward layer."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches (0.1 in the published model)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    scale_by_width: bool = True
    """Divide the scores by sqrt(head width)."""
    scale_by_layer: bool = False
    """Divide the scores of block i by i + 1 as well (Mistral-GPT2, for stable fp16)."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                "the heads do not divide the width",
                received=f"width {self.width}, heads {self.heads}",
                fix=f"choose a width that is a multiple of {self.heads}",
            )

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GPT2Config":
        """From a ``config.json`` of ``model_type`` gpt2; ``Unsupported`` for what this file does not compute."""
        activation = config.get("activation_function", "gelu_new")
        if activation not in _ACTIVATIONS:
            raise Unsupported("activation_function", received=activation, expected=", ".join(_ACTIVATIONS))
        if config.get("add_cross_attention"):
            raise Unsupported("GPT-2 with cross attention", received="add_cross_attention: true")
        if config.get("embd_pdrop", 0.1) != config.get("resid_pdrop", 0.1):
            raise Unsupported("different embd_pdrop and resid_pdrop", expected="one value for both")
        return cls(
            vocabulary_size=config.get("vocab_size", 50257),
            width=config.get("n_embd", 768),
            layers=config.get("n_layer", 12),
            heads=config.get("n_head", 12),
            context_tokens=config.get("n_positions", 1024),
            inner_width=config.get("n_inner"),
            activation=_ACTIVATIONS[activation],
            dropout=config.get("resid_pdrop", 0.1),
            attention_dropout=config.get("attn_pdrop", 0.1),
            norm_epsilon=config.get("layer_norm_epsilon", 1e-5),
            scale_by_width=config.get("scale_attn_weights", True),
            scale_by_layer=config.get("scale_attn_by_inverse_layer_idx", False),
            tied=config.get("tie_word_embeddings", True),
        )

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        theirs = {ours: name for name, ours in _ACTIVATIONS.items()}
        return {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "vocab_size": self.vocabulary_size,
            "n_embd": self.width,
            "n_layer": self.layers,
            "n_head": self.heads,
            "n_positions": self.context_tokens,
            "n_inner": self.inner_width,
            "activation_function": theirs[self.activation],
            "embd_pdrop": self.dropout,
            "resid_pdrop": self.dropout,
            "attn_pdrop": self.attention_dropout,
            "layer_norm_epsilon": self.norm_epsilon,
            "scale_attn_weights": self.scale_by_width,
            "scale_attn_by_inverse_layer_idx": self.scale_by_layer,
            "tie_word_embeddings": self.tied,
        }


def _block(config: GPT2Config, layer: int) -> PreNormBlock:
    attention = SelfAttention(config.width, config.heads, scale=_scale(config, layer), dropout=config.attention_dropout)
    feedforward = FeedForward(config.width, config.inner_width or 4 * config.width, config.activation)
    norms = [nn.LayerNorm(config.width, eps=config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


def _scale(config: GPT2Config, layer: int) -> float:
    """What the scores of a layer are multiplied by."""
    scale = (config.width // config.heads) ** -0.5 if config.scale_by_width else 1.0
    return scale / (layer + 1) if config.scale_by_layer else scale


class GPT2(nn.Module):
    """Decoder-only Transformer with learned positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = LearnedPositions(config.context_tokens, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_block(config, layer) for layer in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)
        smaller_residuals_(self, config.layers)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
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
        embeddings: Float[Tensor, "B T D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md."""
        x = embedded(self, tokens, embeddings)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        x = self.dropout(x + self.positions(layout.positions))
        x, collected = through(self.blocks, x, layout, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


SIZES = {
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(width=1024, layers=24, heads=16),
    "gpt2-large": GPT2Config(width=1280, layers=36, heads=20),
    "gpt2-xl": GPT2Config(width=1600, layers=48, heads=25),
}
"""Table 2 of the paper."""


def weight_map(config: GPT2Config) -> WeightMap:
    """Between our names and those of ``GPT2LMHeadModel``, whose linear layers are stored ``[in, out]``."""
    entries = [
        Rename("embedding.weight", "transformer.wte.weight"),
        Rename("positions.weight", "transformer.wpe.weight"),
        *conv1d_blocks(),
        *modules([("norm", "transformer.ln_f")]),
    ]
    ignored = ("transformer.h.{i}.attn.bias", "transformer.h.{i}.attn.masked_bias")  # causal masks of old files
    return with_head(entries, config, "lm_head", ignored=ignored)
