"""Mixtral (Jiang et al. 2024, "Mixtral of Experts").

Mistral with eight feed-forward layers in every block, of which each token passes through two: G(x) is the softmax of
the two largest logits (section 2.1). All experts are held, and a token is computed with a quarter of them.
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
    llama_experts,
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
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.mixture_block import MixtureBlock, through_experts
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.routing import Choice
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap

_FIELDS = (
    llama_fields(inner_width=14336, key_value_heads=8, context_tokens=131072, norm_epsilon=1e-5)
    | EXPERT_FIELDS
    | {
        "head_width": ("head_dim", None),
        "window_tokens": ("sliding_window", None),
        "experts": ("num_local_experts", 8),
    }
)


@dataclass(frozen=True, kw_only=True)
class MixtralConfig:
    """Shape of a Mixtral; the defaults are the 8x7B model's, but for ``key_value_heads`` (8 there)."""

    vocabulary_size: int = 32000
    """Number of pieces V."""
    width: int = 4096
    """Width D of the residual stream."""
    layers: int = 32
    """Number of blocks."""
    heads: int = 32
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    head_width: int | None = None
    """Width K of a head; width / heads where not given."""
    inner_width: int = 14336
    """Width F of an expert."""
    experts: int = 8
    """Experts E of a block."""
    chosen_experts: int = 2
    """Experts that a token passes through."""
    balance_weight: float = 0.02
    """Weight of the loss that keeps the experts equally used (Fedus et al. 2021, eq. 4)."""
    z_weight: float = 0.0
    """Weight of the loss that keeps the router's logits small (Zoph et al. 2022, eq. 5); ours."""
    capacity_factor: float | None = None
    """In training an expert takes so many times its even share, and drops the rest; null: all. Ours."""
    context_tokens: int = 32768
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=lambda: Rope(base=1e6))
    """Rotary positions and their scaling."""
    window_tokens: int | None = None
    """A token sees itself and the ``window_tokens - 1`` before it; null for all."""
    norm_epsilon: float = 1e-5
    """Added to the mean square in the norms."""
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
        return Choice(experts=self.experts, chosen=self.chosen_experts)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "MixtralConfig":
        """From a ``config.json`` of ``model_type`` mixtral; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu", router_jitter_noise=0.0)
        return cls(**read_fields(config, _FIELDS), rope=rope_of_whole_heads({"rope_theta": 1e6} | config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write_llama(self, _FIELDS, "mixtral", "MixtralForCausalLM")


def _block(config: MixtralConfig) -> MixtureBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.width_of_head,
        window=config.window_tokens,
        dropout=config.attention_dropout,
    )
    experts = Experts(config.width, config.inner_width, config.choice, capacity_factor=config.capacity_factor)
    return MixtureBlock(config.width, attention, experts, norm_epsilon=config.norm_epsilon, dropout=config.dropout)


class Mixtral(nn.Module):
    """Decoder-only Transformer with sparse experts; ``head(output.hidden)`` gives the logits, and in training
    ``output.auxiliary`` holds the load-balancing loss."""

    def __init__(self, config: MixtralConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width_of_head, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
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
    "mixtral-8x7b": MixtralConfig(key_value_heads=8),
    "mixtral-8x22b": MixtralConfig(
        width=6144,
        layers=56,
        heads=48,
        key_value_heads=8,
        inner_width=16384,
        balance_weight=0.001,
        context_tokens=65536,
    ),
}
"""Table 1 of Jiang et al. 2024; for 8x22B, which has no paper, the released config of mistralai/Mixtral-8x22B-v0.1. The
vocabulary of its instructed model has 32,768 pieces."""


def weight_map(config: MixtralConfig) -> WeightMap:
    """Between our names and those of published ``MixtralForCausalLM`` files: an expert's w1, w3 and w2 are its gate,
    up and down; all experts are one tensor here."""
    keys = config.groups * config.width_of_head
    entries = llama_attention((config.heads * config.width_of_head, keys, keys))
    entries += llama_experts(config.experts, config.inner_width, module="block_sparse_moe", names=("w1", "w3", "w2"))
    return llama_map(config, entries)
