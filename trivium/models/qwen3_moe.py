"""Qwen3-MoE (Yang et al. 2025, "Qwen3 Technical Report", section 2).

Qwen3 (norms on the queries and keys of each head) with 128 narrow experts in a block, of which a token passes through
eight, as in DeepSeekMoE (Dai et al. 2024, section 3.1), without a shared one. Single layers may be dense.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import (
    EXPERT_FIELDS,
    LLAMA_NORMS,
    check_heads,
    check_window,
    llama_attention,
    llama_experts,
    llama_feedforward,
    llama_fields,
    llama_map,
    read_fields,
    require,
    rope_of_whole_heads,
    write_llama,
)
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.embedded import embedded
from trivium.nn.experts import Experts
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.mixture_block import MixtureBlock, through_experts
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.routing import Choice, expert_layers
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap

_FIELDS = (
    llama_fields(
        vocabulary_size=151936, width=2048, layers=24, inner_width=6144, key_value_heads=4, context_tokens=32768
    )
    | EXPERT_FIELDS
    | {
        "head_width": ("head_dim", None),
        "attention_bias": ("attention_bias", False),
        "window_tokens": ("sliding_window", 4096),
        "experts": ("num_experts", 128),
        "chosen_experts": ("num_experts_per_tok", 8),
        "expert_inner_width": ("moe_intermediate_size", 768),
        "renormalise": ("norm_topk_prob", False),
        "expert_step": ("decoder_sparse_step", 1),
        "dense_layers": ("mlp_only_layers", ()),
    }
)


@dataclass(frozen=True, kw_only=True)
class Qwen3MoeConfig:
    """Shape of a Qwen3-MoE; the defaults are the 30B-A3B model's, but for ``key_value_heads`` (4 there)."""

    vocabulary_size: int = 151936
    """Number of pieces V."""
    width: int = 2048
    """Width D of the residual stream."""
    layers: int = 48
    """Number of blocks."""
    heads: int = 32
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    head_width: int | None = 128
    """Width K of a head; width / heads where not given."""
    inner_width: int = 6144
    """Width F of the feed-forward layer in blocks without experts."""
    expert_inner_width: int = 768
    """Width F of an expert."""
    experts: int = 128
    """Experts E of a block."""
    chosen_experts: int = 8
    """Experts that a token passes through."""
    renormalise: bool = True
    """The weights of a token's experts add up to 1."""
    expert_step: int = 1
    """Every so many layers there are experts."""
    dense_layers: tuple[int, ...] = ()
    """Layers without experts beside, counted from 0."""
    balance_weight: float = 0.001
    """Weight of the loss that keeps the experts equally used (Fedus et al. 2021, eq. 4)."""
    z_weight: float = 0.0
    """Weight of the loss that keeps the router's logits small (Zoph et al. 2022, eq. 5); ours."""
    capacity_factor: float | None = None
    """In training an expert takes so many times its even share, and drops the rest; null: all. Ours."""
    context_tokens: int = 40960
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=lambda: Rope(base=1e6))
    """Rotary positions and their scaling."""
    window_tokens: int | None = None
    """A token sees itself and the ``window_tokens - 1`` before it; null for all."""
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
        check_window(self.window_tokens, (), self.layers)
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
        return Choice(experts=self.experts, chosen=self.chosen_experts, renormalise=self.renormalise)

    @property
    def with_experts(self) -> tuple[bool, ...]:
        """Which layers have experts."""
        return expert_layers(self.layers, step=self.expert_step, dense=self.dense_layers)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Qwen3MoeConfig":
        """From a ``config.json`` of ``model_type`` qwen3_moe; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu")
        fields = read_fields({"num_experts": config.get("num_local_experts", 128)} | config, _FIELDS)
        fields["dense_layers"] = tuple(fields["dense_layers"] or ())
        if not config.get("use_sliding_window"):
            fields["window_tokens"] = None  # some files name a window that is not used
        return cls(**fields, rope=rope_of_whole_heads(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "qwen3_moe", "Qwen3MoeForCausalLM") | {
            "head_dim": self.width_of_head,
            "mlp_only_layers": list(self.dense_layers),
            "use_sliding_window": self.window_tokens is not None,
        }


def _block(config: Qwen3MoeConfig, with_experts: bool) -> MixtureBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.width_of_head,
        bias=config.attention_bias,
        output_bias=config.attention_bias,
        norms=(RMSNorm(config.width_of_head, config.norm_epsilon), RMSNorm(config.width_of_head, config.norm_epsilon)),
        window=config.window_tokens,
        dropout=config.attention_dropout,
    )
    if with_experts:
        inner = config.expert_inner_width
        feedforward = Experts(config.width, inner, config.choice, capacity_factor=config.capacity_factor)
    else:
        feedforward = GatedFeedForward(config.width, config.inner_width, "silu")
    return MixtureBlock(config.width, attention, feedforward, norm_epsilon=config.norm_epsilon, dropout=config.dropout)


class Qwen3Moe(nn.Module):
    """Decoder-only Transformer with many narrow experts; ``head(output.hidden)`` gives the logits, and in training
    ``output.auxiliary`` holds the load-balancing loss."""

    def __init__(self, config: Qwen3MoeConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width_of_head, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config, with_experts) for with_experts in config.with_experts)
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
        windows = (config.window_tokens,) * config.layers
        return State.of_caches(
            rows, config.groups, capacity, config.width_of_head, layers=config.layers, like=like, windows=windows
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
    "qwen3-30b-a3b": Qwen3MoeConfig(key_value_heads=4),
    "qwen3-235b-a22b": Qwen3MoeConfig(
        width=4096, layers=94, heads=64, key_value_heads=4, inner_width=12288, expert_inner_width=1536
    ),
}
"""Table 2 of Yang et al. 2025 and the released configs."""


def weight_map(config: Qwen3MoeConfig) -> WeightMap:
    """Between our names and those of published ``Qwen3MoeForCausalLM`` files, which hold one tensor an expert."""
    keys, bias = config.groups * config.width_of_head, config.attention_bias
    entries = llama_attention((config.heads * config.width_of_head, keys, keys), bias=bias, output_bias=bias)
    for layer, with_experts in enumerate(config.with_experts):
        if with_experts:
            entries += llama_experts(config.experts, config.expert_inner_width, layer=str(layer))
        else:
            entries += llama_feedforward(config.inner_width, layer=str(layer))
    qk_norms = {"attention.query_norm": "self_attn.q_norm", "attention.key_norm": "self_attn.k_norm"}
    return llama_map(config, entries, norms=LLAMA_NORMS | qk_norms)
