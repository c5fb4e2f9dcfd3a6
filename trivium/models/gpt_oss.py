"""gpt-oss (OpenAI 2025, "gpt-oss-120b & gpt-oss-20b Model Card", section 2).

Every other layer sees no further back than a window of 128 tokens; each head has a learned score of attending to
nothing (a sink, Xiao et al. 2023); RoPE is stretched by YaRN. The experts have biases and a clamped SwiGLU, and the
router's weights are the softmax of the chosen logits.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import (
    EXPERT_FIELDS,
    check_heads,
    check_window,
    llama_attention,
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
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.embedded import embedded
from trivium.nn.experts import ClampedSwiGLU, Experts
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.mixture_block import MixtureBlock, through_experts
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.routing import Choice
from trivium.nn.state import State
from trivium.nn.weight_map import Rename, Transpose, WeightMap

_FIELDS = (
    llama_fields(
        vocabulary_size=201088,
        width=2880,
        layers=36,
        heads=64,
        key_value_heads=8,
        inner_width=2880,
        context_tokens=131072,
        norm_epsilon=1e-5,
    )
    | EXPERT_FIELDS
    | {
        "head_width": ("head_dim", 64),
        "attention_bias": ("attention_bias", True),
        "window_tokens": ("sliding_window", 128),
        "experts": ("num_local_experts", 128),
        "chosen_experts": ("num_experts_per_tok", 4),
        "gate_slope": ("swiglu_alpha", 1.702),
        "gate_limit": ("swiglu_limit", 7.0),
    }
)


def _yarn() -> Rope:
    """From 4,096 tokens to 131,072."""
    return Rope(
        kind="yarn",
        base=150000.0,
        factor=32.0,
        beta_fast=32.0,
        beta_slow=1.0,
        truncate=False,
        original_context_tokens=4096,
    )


def _alternating(layers: int) -> tuple[int, ...]:
    """The layers with a window, where nothing else is said: every other one, the first to begin with."""
    return tuple(range(0, layers, 2))


@dataclass(frozen=True, kw_only=True)
class GptOssConfig:
    """Shape of a gpt-oss; the defaults are the 120B model's, but for ``key_value_heads`` (8 there)."""

    vocabulary_size: int = 201088
    """Number of pieces V."""
    width: int = 2880
    """Width D of the residual stream."""
    layers: int = 36
    """Number of blocks."""
    heads: int = 64
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    head_width: int | None = 64
    """Width K of a head; width / heads where not given."""
    inner_width: int = 2880
    """Width F of an expert."""
    experts: int = 128
    """Experts E of a block."""
    chosen_experts: int = 4
    """Experts that a token passes through."""
    gate_slope: float = 1.702
    """Slope of the sigmoid in the experts' gates."""
    gate_limit: float = 7.0
    """Largest gate of an expert, and largest absolute value of what it gates."""
    balance_weight: float = 0.9
    """Weight of the loss that keeps the experts equally used (Fedus et al. 2021, eq. 4)."""
    z_weight: float = 0.0
    """Weight of the loss that keeps the router's logits small (Zoph et al. 2022, eq. 5); ours."""
    capacity_factor: float | None = None
    """In training an expert takes so many times its even share, and drops the rest; null: all. Ours."""
    context_tokens: int = 131072
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=_yarn)
    """Rotary positions and their scaling."""
    window_tokens: int | None = 128
    """In layers with a window a token sees itself and the ``window_tokens - 1`` before it; null for all."""
    window_layers: tuple[int, ...] | None = None
    """Layers with a window, counted from 0; null for every other one, the first to begin with."""
    norm_epsilon: float = 1e-5
    """Added to the mean square in the norms."""
    attention_bias: bool = True
    """Biases on the q, k, v and output projections."""
    dropout: float = 0.0
    """Dropout on residual branches; ours, for small corpora (the published models use none)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = False
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)
        check_window(self.window_tokens, self.window_layers or (), self.layers)
        _ = self.choice  # refuses what cannot be chosen

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def width_of_head(self) -> int:
        """Head width K."""
        return self.head_width or self.width // self.heads

    @property
    def choice(self) -> Choice:
        """How a token's experts are chosen."""
        return Choice(experts=self.experts, chosen=self.chosen_experts)

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The window of each layer."""
        narrow = _alternating(self.layers) if self.window_layers is None else self.window_layers
        return tuple(self.window_tokens if layer in narrow else None for layer in range(self.layers))

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GptOssConfig":
        """From a ``config.json`` of ``model_type`` gpt_oss; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu")
        fields = read_fields(config, _FIELDS)
        usual = _alternating(fields["layers"])
        narrow = read_window_layers(config, fields["layers"], usual=lambda layer: layer in usual)
        fields["window_layers"] = None if fields["window_tokens"] is None or narrow == usual else narrow
        stated = config.get("rope_parameters") or config.get("rope_scaling")
        rope = rope_of_whole_heads({"rope_theta": 150000.0} | config) if stated else _yarn()
        return cls(**fields, rope=rope)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        narrow = [layer for layer, window in enumerate(self.windows) if window is not None]
        return write_llama(self, _FIELDS, "gpt_oss", "GptOssForCausalLM") | {
            "head_dim": self.width_of_head,
            "layer_types": write_layer_types(narrow, self.layers),
        }


def _block(config: GptOssConfig, window: int | None) -> MixtureBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.width_of_head,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        window=window,
        sinks=True,
        dropout=config.attention_dropout,
    )
    experts = Experts(
        config.width,
        config.inner_width,
        config.choice,
        activation=ClampedSwiGLU(alpha=config.gate_slope, limit=config.gate_limit),
        bias=True,
        router_bias=True,
        capacity_factor=config.capacity_factor,
    )
    return MixtureBlock(config.width, attention, experts, norm_epsilon=config.norm_epsilon, dropout=config.dropout)


class GptOss(nn.Module):
    """Decoder-only Transformer with sinks, windows and experts; ``head(output.hidden)`` gives the logits, and in
    training ``output.auxiliary`` holds the load-balancing loss."""

    def __init__(self, config: GptOssConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width_of_head, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config, window) for window in config.windows)
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
        config, like = self.config, self.embedding.weight
        return State.of_caches(
            rows, config.groups, capacity, config.width_of_head, layers=config.layers, like=like, windows=config.windows
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
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md;
        ``collect`` may name "routing" too, see `through_experts`."""
        x = embedded(self, tokens, embeddings)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        rotation = self.rotary(layout.positions, x.dtype, layout.reach)
        x, collected, losses = through_experts(
            self, x, layout, rotation, lengths=lengths, segments=segments, state=state, collect=collect
        )
        return Output(self.norm(x), state, losses, collected)


SIZES = {
    "gpt-oss-20b": GptOssConfig(layers=24, key_value_heads=8, experts=32),
    "gpt-oss-120b": GptOssConfig(key_value_heads=8),
}
"""Table 1 of the model card; the rest, the weight of the load-balancing loss among it, from the released configs. How
the models were trained to use their experts equally was not published."""


def weight_map(config: GptOssConfig) -> WeightMap:
    """Between our names and those of ``GptOssForCausalLM``, whose experts are stacked already, each matrix as
    ``[in, out]``; gates and ups take turns in both."""
    keys, bias = config.groups * config.width_of_head, config.attention_bias
    entries = llama_attention((config.heads * config.width_of_head, keys, keys), bias=bias, output_bias=bias)
    ours, theirs = "blocks.{i}.feedforward.", "model.layers.{i}.mlp."
    entries.append(Rename("blocks.{i}.attention.sinks", "model.layers.{i}.self_attn.sinks"))
    entries += modules([(f"{ours}router.logits", f"{theirs}router")])
    for name in ("gate_up", "down"):
        experts = f"{theirs}experts.{name}_proj"
        entries += [Transpose(f"{ours}{name}.weight", experts), Rename(f"{ours}{name}.bias", f"{experts}_bias")]
    return llama_map(config, entries)
