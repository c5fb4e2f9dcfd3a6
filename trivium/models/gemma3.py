"""Gemma 3, its text model (Gemma Team 2025, "Gemma 3 Technical Report").

What it changes in Gemma 2 (section 2): norms of queries and keys in the place of soft caps, five local layers to each
global one, and for these two RoPE of different bases, of which the global one is stretched in the larger models.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported
from trivium.models.decoder_format import (
    check_heads,
    check_window,
    llama_attention,
    llama_feedforward,
    llama_fields,
    llama_map,
    modules,
    read_fields,
    read_window_layers,
    require,
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
    vocabulary_size=262208,
    width=2304,
    layers=26,
    heads=8,
    key_value_heads=4,
    inner_width=9216,
    context_tokens=131072,
    tied=True,
) | {
    "head_width": ("head_dim", 256),
    "score_divisor": ("query_pre_attn_scalar", 256),
    "window_tokens": ("sliding_window", 4096),
    "attention_bias": ("attention_bias", False),
}
_GLOBAL, _LOCAL = 0, 1
_ROPES = {"full_attention": ("rope_theta", 1_000_000.0), "sliding_attention": ("rope_local_base_freq", 10_000.0)}
"""Global and local: the base of the angles in files of transformers 4, and what it is where nothing is said."""
_RHYTHM = 6


@dataclass(frozen=True, kw_only=True)
class Gemma3Config:
    """Shape of a Gemma 3; the defaults are those of the 4B model's text part before its context was stretched, but
    for its ``key_value_heads`` of 4."""

    vocabulary_size: int = 262208
    """Number of pieces V."""
    width: int = 2560
    """Width D of the residual stream."""
    layers: int = 34
    """Number of blocks."""
    heads: int = 8
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    head_width: int = 256
    """Width K of a head."""
    score_divisor: float | None = None
    """Scores are divided by its square root; ``head_width`` where not given."""
    inner_width: int = 10240
    """Width F of the feed-forward layer."""
    context_tokens: int = 131072
    """Longest text."""
    window_tokens: int | None = 1024
    """How many tokens a local layer sees, the last of them the one it is at."""
    window_layers: tuple[int, ...] | None = None
    """The local layers, counted from 0; all but each sixth where not given."""
    rope: Rope = field(default_factory=lambda: Rope(base=1_000_000.0))
    """Rotary positions of the layers that see everything."""
    local_rope: Rope = field(default_factory=Rope)
    """Rotary positions of the local layers."""
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
        return tuple(layer for layer in range(self.layers) if (layer + 1) % _RHYTHM)

    @property
    def windows(self) -> list[int | None]:
        """The window of each layer."""
        return [self.window_tokens if layer in self.local_layers else None for layer in range(self.layers)]

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Gemma3Config":
        """From a ``config.json`` of ``model_type`` gemma3_text; ``Unsupported`` for what this file does not compute,
        the models that read images among it."""
        if config.get("model_type") == "gemma3" or "text_config" in config:
            raise Unsupported(
                "Gemma 3 that reads images",
                received="model_type gemma3",
                expected="model_type gemma3_text",
                fix="save its language model by itself with transformers, or take a checkpoint of the text model",
            )
        check_gemma(config)
        require(config, attn_logit_softcapping=None, final_logit_softcapping=None)
        fields = read_fields(config, _FIELDS)
        every = config.get("sliding_window_pattern", _RHYTHM)
        local = read_window_layers(config, fields["layers"], lambda layer: (layer + 1) % every > 0)
        rope, local_rope = (_rope(config, kind) for kind in _ROPES)
        return cls(**fields, window_layers=local, rope=rope, local_rope=local_rope)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        ropes = (self.rope, self.local_rope)
        return write_llama(self, _FIELDS, "gemma3_text", "Gemma3ForCausalLM") | {
            "query_pre_attn_scalar": self.score_divisor or self.head_width,
            "layer_types": write_layer_types(self.local_layers, self.layers),
            "rope_parameters": {kind: rope.to_hf() for kind, rope in zip(_ROPES, ropes, strict=True)},
            **ACTIVATION,
        }


def _rope(config: Mapping[str, Any], kind: str) -> Rope:
    """Of one kind of layer: from ``rope_parameters`` (transformers 5), or from its base and, for the global ones,
    ``rope_scaling`` (4)."""
    stated = config.get("rope_parameters") or {}
    if not set(stated) <= set(_ROPES):
        raise Unsupported("rope_parameters", received=", ".join(stated), expected=" and ".join(_ROPES))
    name, usual = _ROPES[kind]
    scaling = (config.get("rope_scaling") or {}) if kind == "full_attention" else {}
    angles = {"rope_theta": config.get(name, usual), **scaling, **(stated.get(kind) or {})}
    return rope_of_whole_heads({**config, "rope_parameters": angles})


def _block(config: Gemma3Config, window: int | None) -> SandwichBlock:
    query_norm, key_norm = (RMSNorm(config.head_width, config.norm_epsilon, offset=1.0) for _ in range(2))
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.head_width,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        norms=(query_norm, key_norm),
        scale=(config.score_divisor or config.head_width) ** -0.5,
        window=window,
        dropout=config.attention_dropout,
    )
    return SandwichBlock(
        config.width,
        attention,
        GatedFeedForward(config.width, config.inner_width, "gelu_tanh"),
        rotation=_GLOBAL if window is None else _LOCAL,
        norm_epsilon=config.norm_epsilon,
        norm_offset=1.0,
        dropout=config.dropout,
    )


class Gemma3(nn.Module):
    """Decoder-only Transformer with rotary positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: Gemma3Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        ropes = (config.rope, config.local_rope)
        self.rotaries = nn.ModuleList(Rotary(rope, config.head_width, config.context_tokens) for rope in ropes)
        self.blocks = nn.ModuleList(_block(config, window) for window in config.windows)
        self.norm = RMSNorm(config.width, config.norm_epsilon, offset=1.0)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to)
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
        rotations = tuple(rotary(layout.positions, x.dtype, layout.reach) for rotary in self.rotaries)
        x, collected = through(self.blocks, x, layout, rotations, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


_SMALL = Gemma3Config(
    vocabulary_size=262144,
    width=640,
    layers=18,
    heads=4,
    key_value_heads=1,
    inner_width=2048,
    context_tokens=32768,
    window_tokens=512,
)
_STRETCHED = Rope(kind="linear", base=1_000_000.0, factor=8.0)
SIZES = {
    "gemma-3-270m": _SMALL,
    "gemma-3-1b": replace(_SMALL, width=1152, layers=26, inner_width=6912),
    "gemma-3-4b": Gemma3Config(key_value_heads=4, rope=_STRETCHED),
    "gemma-3-12b": Gemma3Config(width=3840, layers=48, heads=16, key_value_heads=8, inner_width=15360, rope=_STRETCHED),
    "gemma-3-27b": Gemma3Config(
        width=5376,
        layers=62,
        heads=32,
        key_value_heads=16,
        head_width=128,
        score_divisor=168,  # width / heads
        inner_width=21504,
        rope=_STRETCHED,
    ),
}
"""The text parts of the released models, as their configs say; table 1 of the report has their parameters."""


def weight_map(config: Gemma3Config) -> WeightMap:
    """Between our names and those of ``Gemma3ForCausalLM``: q, k, v are one matrix here, gate and up another."""
    keys, bias = config.groups * config.head_width, config.attention_bias
    entries = llama_attention((config.heads * config.head_width, keys, keys), bias=bias, output_bias=bias)
    ours, theirs = "blocks.{i}.attention.", "model.layers.{i}.self_attn."
    norms = [(ours + "query_norm", theirs + "q_norm"), (ours + "key_norm", theirs + "k_norm")]
    entries += modules(norms, bias=False)
    return llama_map(config, entries + llama_feedforward(config.inner_width), norms=SANDWICH_NORMS)
