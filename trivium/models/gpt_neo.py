"""GPT-Neo (Black et al. 2021, "GPT-Neo: Large Scale Autoregressive Language Modeling with Mesh-Tensorflow").

GPT-2's decoder in which every other layer sees no further than a window, as in GPT-3 (Brown et al. 2020, section 2.1),
and the scores are not divided by the root of the head's width.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.models.decoder_format import check_heads, fused, modules, read_fields, with_head, write_fields
from trivium.models.gpt_format import NO_SPECIAL_IDS, read_activation, write_activation
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

Reach = Literal["global", "local"]
_FIELDS = {
    "vocabulary_size": ("vocab_size", 50257),
    "width": ("hidden_size", 2048),
    "layers": ("num_layers", 24),
    "heads": ("num_heads", 16),
    "inner_width": ("intermediate_size", None),
    "context_tokens": ("max_position_embeddings", 2048),
    "window_tokens": ("window_size", 256),
    "dropout": ("resid_dropout", 0.0),
    "attention_dropout": ("attention_dropout", 0.0),
    "norm_epsilon": ("layer_norm_epsilon", 1e-5),
    "tied": ("tie_word_embeddings", True),
}


@dataclass(frozen=True, kw_only=True)
class GPTNeoConfig:
    """Shape of a GPT-Neo; the defaults are the 1.3B model's."""

    vocabulary_size: int = 50257
    """Number of pieces V."""
    width: int = 2048
    """Width D of the residual stream."""
    layers: int = 24
    """Number of blocks."""
    heads: int = 16
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int | None = None
    """Width F of the feed-forward layer; 4 * width where not given."""
    context_tokens: int = 2048
    """Longest text, the size of the position table."""
    reaches: tuple[Reach, ...] = ("global", "local")
    """How far the layers see, one after the other and again from the first: all, or ``window_tokens``."""
    window_tokens: int = 256
    """What a token of a local layer sees: itself and those before it, so many in all."""
    activation: Activation = "gelu_tanh"
    """Non-linearity of the feed-forward layer."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)
        if not self.reaches or self.window_tokens < 1:
            raise ConfigError(
                "layers see all of the text, or a window of it",
                received=f"reaches {self.reaches}, window_tokens {self.window_tokens}",
                expected="at least one reach, and a window of at least 1",
            )

    @property
    def windows(self) -> list[int | None]:
        """The window of each layer."""
        reaches = [self.reaches[layer % len(self.reaches)] for layer in range(self.layers)]
        return [self.window_tokens if reach == "local" else None for reach in reaches]

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GPTNeoConfig":
        """From a ``config.json`` of ``model_type`` gpt_neo; ``Unsupported`` for what this file does not compute."""
        fields = read_fields(config, _FIELDS)
        if config.get("embed_dropout", 0.0) != fields["dropout"]:
            raise Unsupported("different embed_dropout and resid_dropout", expected="one value for both")
        listed = config.get("attention_types") or [[["global", "local"], 12]]
        kinds = tuple(kind for some, times in listed for _ in range(times) for kind in some)
        if len(kinds) != fields["layers"] or not set(kinds) <= {"global", "local"}:
            raise Unsupported("attention_types", received=listed, expected="global or local for each layer")
        activation = read_activation("activation_function", config.get("activation_function", "gelu_new"))
        return cls(**fields, reaches=_period(kinds), activation=activation)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        kinds = ["global" if window is None else "local" for window in self.windows]
        return {
            "model_type": "gpt_neo",
            "architectures": ["GPTNeoForCausalLM"],
            **write_fields(self, _FIELDS),
            "embed_dropout": self.dropout,
            "attention_types": [[kinds, 1]],
            "activation_function": write_activation(self.activation),
            **NO_SPECIAL_IDS,
        }


def _period(kinds: tuple[Reach, ...]) -> tuple[Reach, ...]:
    """The fewest first ones that give all when they are repeated."""
    lengths = range(1, len(kinds) + 1)
    return next(kinds[:n] for n in lengths if all(kind == kinds[i % n] for i, kind in enumerate(kinds)))


def _block(config: GPTNeoConfig, window: int | None) -> PreNormBlock:
    attention = SelfAttention(
        config.width, config.heads, bias=False, scale=1.0, window=window, dropout=config.attention_dropout
    )
    feedforward = FeedForward(config.width, config.inner_width or 4 * config.width, config.activation)
    norms = [nn.LayerNorm(config.width, eps=config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


class GPTNeo(nn.Module):
    """Decoder-only Transformer with learned positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: GPTNeoConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = LearnedPositions(config.context_tokens, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_block(config, window) for window in config.windows)
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
        config, like = self.config, self.embedding.weight
        width = config.width // config.heads
        return State.of_caches(
            rows, config.heads, capacity, width, layers=config.layers, like=like, windows=config.windows
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
        x = self.dropout(x + self.positions(layout.positions))
        x, collected = through(self.blocks, x, layout, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


SIZES = {
    "gpt-neo-125m": GPTNeoConfig(width=768, layers=12, heads=12),
    "gpt-neo-1.3b": GPTNeoConfig(),
    "gpt-neo-2.7b": GPTNeoConfig(width=2560, layers=32, heads=20),
}
"""The released configurations."""


def weight_map(config: GPTNeoConfig) -> WeightMap:
    """Between our names and those of ``GPTNeoForCausalLM``: q, k, v are one matrix here."""
    block, layer = "blocks.{i}.", "transformer.h.{i}."
    attention = f"{layer}attn.attention."
    entries = [
        Rename("embedding.weight", "transformer.wte.weight"),
        Rename("positions.weight", "transformer.wpe.weight"),
        *fused(f"{block}attention.qkv", [f"{attention}{name}_proj" for name in "qkv"], [config.width] * 3),
        *modules(
            [
                (f"{block}attention.output", f"{attention}out_proj"),
                (f"{block}attention_norm", f"{layer}ln_1"),
                (f"{block}feedforward_norm", f"{layer}ln_2"),
                (f"{block}feedforward.up", f"{layer}mlp.c_fc"),
                (f"{block}feedforward.down", f"{layer}mlp.c_proj"),
                ("norm", "transformer.ln_f"),
            ]
        ),
    ]
    ignored = (f"{attention}bias", f"{attention}masked_bias")  # causal-mask buffers of old files
    return with_head(entries, config, "lm_head", ignored=ignored)
