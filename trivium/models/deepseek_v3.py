"""DeepSeek-V3 (DeepSeek-AI 2024b, "DeepSeek-V3 Technical Report").

Latent attention (section 2.1.1, see `nn/attention/latent.py`), and in all but the first layers DeepSeekMoE: many narrow
experts and one that sees every token (section 2.1.2). A token's experts are those with the largest sigmoid scores, to
which a correction is added for the choice alone, in the groups that are chosen first. DeepSeek-R1 is the same network.

The published files hold one layer more, which predicts the token after the next (section 2.2). It is there for training
and may be left out, so it is not read; nor does ``transformers`` read it.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.models.decoder_format import (
    LLAMA_NORMS,
    llama_feedforward,
    llama_map,
    rope_of_whole_heads,
)
from trivium.models.deepseek_v3_format import deepseek_experts, latent_attention, prediction_layer, read, write
from trivium.nn.attention.latent import LatentAttention, LatentCache
from trivium.nn.attention.layout import causal_layout
from trivium.nn.embedded import embedded
from trivium.nn.experts import Experts
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.mixture_block import MixtureBlock, through_experts
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.routing import Choice
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class DeepSeekV3Config:
    """Shape of a DeepSeek-V3; what is not given follows from ``head_width`` and ``inner_width`` as it does there."""

    vocabulary_size: int = 129280
    """Number of pieces V."""
    width: int = 7168
    """Width D of the residual stream."""
    layers: int = 61
    """Number of blocks."""
    heads: int = 128
    """Heads H of queries, keys and values."""
    head_width: int = 128
    """Features K of a query and a key that have no position."""
    rotary_width: int | None = None
    """Features of them that are turned by their position, an even number; half of ``head_width`` where not given."""
    value_width: int | None = None
    """Features of a head of values; ``head_width`` where not given."""
    rank: int | None = None
    """Features R that keys and values of a token are made of; four times ``head_width`` where not given."""
    query_rank: int | None = None
    """Features that queries are made of (1536 in the published model); null for a full projection."""
    neighbours: bool = True
    """Features that stand side by side turn together, and not those of two halves."""
    inner_width: int = 18432
    """Width F of the dense feed-forward layers."""
    dense_layers: int = 3
    """The first blocks have no experts."""
    experts: int = 256
    """Experts E of each other block."""
    chosen_experts: int = 8
    """Experts that a token passes through."""
    shared_experts: int = 1
    """Experts that every token passes through."""
    expert_inner_width: int | None = None
    """Width of an expert; where not given, a token's experts are together as wide as a dense layer."""
    expert_groups: int = 8
    """Groups that the experts stand in."""
    chosen_groups: int = 4
    """Groups that a token may choose its experts from."""
    expert_scaling: float = 2.5
    """Factor on the weights of the chosen experts."""
    renormalise: bool = True
    """The weights of a token's experts add up to 1, before ``expert_scaling``."""
    balance_weight: float = 0.0001
    """Weight of the loss that keeps the experts equally used (section 4.2; over a batch here, not over each text)."""
    correction_rate: float = 0.001
    """By how much an update moves the correction of an expert that is chosen too rarely or too often (section 4.2)."""
    z_weight: float = 0.0
    """Weight of the loss that keeps the router's logits small (Zoph et al. 2022, eq. 5); ours."""
    capacity_factor: float | None = None
    """In training an expert takes so many times its even share, and drops the rest; null: all. Ours."""
    context_tokens: int = 4096
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=Rope)
    """Rotary positions and their scaling."""
    norm_epsilon: float = 1e-6
    """Added to the mean square in the norms."""
    attention_bias: bool = False
    """Biases on the projections to the compressed vectors, and on that of the output."""
    dropout: float = 0.0
    """Dropout on residual branches; ours, for small corpora (the published models use none)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = False
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        if self.turned_width % 2 or self.turned_width < 2:
            raise ConfigError(
                "RoPE turns pairs of features", received=f"rotary_width {self.turned_width}", expected="even"
            )
        _ = self.choice  # refuses what cannot be chosen

    @property
    def groups(self) -> int:
        """Key and value heads, as many as there are of queries."""
        return self.heads

    @property
    def turned_width(self) -> int:
        """Features of a head that are turned, K_r."""
        return self.head_width // 4 * 2 if self.rotary_width is None else self.rotary_width

    @property
    def width_of_value(self) -> int:
        """Features of a head of values."""
        return self.value_width or self.head_width

    @property
    def key_value_rank(self) -> int:
        """Features R that keys and values are made of."""
        return self.rank or 4 * self.head_width

    @property
    def width_of_expert(self) -> int:
        """Inner width of an expert."""
        return self.expert_inner_width or self.inner_width // (self.chosen_experts + self.shared_experts)

    @property
    def choice(self) -> Choice:
        """How a token's experts are chosen."""
        return Choice(
            experts=self.experts,
            chosen=self.chosen_experts,
            scores="sigmoid",
            renormalise=self.renormalise,
            scaling=self.expert_scaling,
            correction=True,
            correction_rate=self.correction_rate,
            groups=self.expert_groups,
            chosen_groups=self.chosen_groups,
        )

    @property
    def score_scale(self) -> float:
        """What scores are multiplied by: with YaRN the square of its factor as well, as the rotation leaves out the
        features without a position (the published code)."""
        scale, rope = (self.head_width + self.turned_width) ** -0.5, self.rope
        if rope.kind == "default" or not rope.mscale_all:
            return scale
        factor = rope.factor or self.context_tokens / (rope.original_context_tokens or self.context_tokens)
        return scale * (1.0 + 0.1 * rope.mscale_all * math.log(max(factor, 1.0))) ** 2

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "DeepSeekV3Config":
        """From a ``config.json`` of ``model_type`` deepseek_v3; ``Unsupported`` for what this file does not compute."""
        return cls(**read(config), rope=rope_of_whole_heads(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return write(self)


def _block(config: DeepSeekV3Config, layer: int) -> MixtureBlock:
    attention = LatentAttention(
        config.width,
        config.heads,
        config.head_width,
        rank=config.key_value_rank,
        query_rank=config.query_rank,
        rotary_width=config.turned_width,
        value_width=config.width_of_value,
        bias=config.attention_bias,
        neighbours=config.neighbours,
        scale=config.score_scale,
        dropout=config.attention_dropout,
    )
    if layer < config.dense_layers:
        feedforward = GatedFeedForward(config.width, config.inner_width, "silu")
    else:
        feedforward = Experts(
            config.width,
            config.width_of_expert,
            config.choice,
            shared_width=config.shared_experts * config.width_of_expert,
            capacity_factor=config.capacity_factor,
        )
    return MixtureBlock(config.width, attention, feedforward, norm_epsilon=config.norm_epsilon, dropout=config.dropout)


class DeepSeekV3(nn.Module):
    """Decoder-only Transformer with latent attention and sparse experts; ``head(output.hidden)`` gives the logits, and
    in training ``output.auxiliary`` holds the load-balancing loss."""

    def __init__(self, config: DeepSeekV3Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.turned_width, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config, layer) for layer in range(config.layers))
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
        width = config.key_value_rank + config.turned_width
        caches = [LatentCache.empty(rows, capacity, width, like=like) for _ in self.blocks]
        return State(list(caches), torch.zeros(rows, dtype=torch.long, device=like.device))

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
    "deepseek-v3": DeepSeekV3Config(
        rank=512,
        query_rank=1536,
        context_tokens=163840,
        rope=Rope(
            kind="yarn",
            factor=40.0,
            original_context_tokens=4096,
            beta_fast=32.0,
            beta_slow=1.0,
            mscale=1.0,
            mscale_all=1.0,
        ),
    )
}
"""Section 4.2 of the report, and for the stretched context the released config: 671B parameters."""


def weight_map(config: DeepSeekV3Config) -> WeightMap:
    """Between our names and those of published ``DeepseekV3ForCausalLM`` files, which hold one tensor an expert."""
    attention = latent_attention(bias=config.attention_bias, low_rank_queries=config.query_rank is not None)
    entries = list(attention)
    for layer in range(config.layers):
        if layer < config.dense_layers:
            entries += llama_feedforward(config.inner_width, layer=str(layer))
        else:
            entries += deepseek_experts(config, str(layer))
    beyond = [*attention, *deepseek_experts(config, str(config.layers))]
    unread = prediction_layer(beyond, tuple(LLAMA_NORMS.values()), config.layers)
    return llama_map(config, entries, ignored=unread)
