"""Grok-1 (xAI 2024), from its released program (github.com/xai-org/grok-1, `run.py` and `model.py`); no paper.

A decoder whose feed-forward layers are mixtures of 8 experts, of which each token passes through 2: 314 billion
parameters, a quarter of them at work on a token. RMSNorm before each sub-block and another one after it, before the
result is added; scores capped as 30 tanh(score / 30); embeddings multiplied by sqrt(D) and logits by 1 / sqrt(3); gated
GELU by its tanh approximation in the experts; no biases; output weights tied to the embedding. The weights of the two
experts are their shares of the softmax over all eight, and are not renormalised.

The released weights are pickled JAX arrays, which are not read here: a pickle can run code. How Grok-1 was trained is
not published: the weight of the load-balancing loss is ours.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import check_heads
from trivium.models.own_format import decoder_names, read_config, write_config
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.embedded import embedded, scaled
from trivium.nn.experts import Experts
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.mixture_block import through_experts
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.routing import Choice, Routings
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class Grok1Config:
    """Shape of a Grok-1; the defaults are the published model's."""

    vocabulary_size: int = 131072
    """Number of pieces V."""
    width: int = 6144
    """Width D of the residual stream."""
    layers: int = 64
    """Number of blocks."""
    heads: int = 48
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given. The published model has 8."""
    inner_width: int = 32768
    """Width F of an expert."""
    experts: int = 8
    """Number of experts E."""
    chosen_experts: int = 2
    """Experts that a token passes through."""
    balance_weight: float = 0.01
    """Of the loss that keeps experts in equal use; ours, after Fedus et al. 2021, section 2.2."""
    z_weight: float = 0.0
    """Weight of the loss that keeps the router's logits small (Zoph et al. 2022, eq. 5); ours."""
    context_tokens: int = 8192
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=Rope)
    """Rotary positions."""
    score_cap: float = 30.0
    """Attention scores are at most this, either way."""
    logit_scale: float = 3**-0.5
    """Logits are multiplied by it."""
    norm_epsilon: float = 1e-5
    """Added to the mean square in the norms."""
    dropout: float = 0.0
    """Dropout on residual branches; ours, for small corpora."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)
        _ = self.choice  # refuses more experts chosen than there are

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def choice(self) -> Choice:
        """How a token's experts are chosen."""
        return Choice(experts=self.experts, chosen=self.chosen_experts, renormalise=False)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Grok1Config":
        """From a ``config.json`` of ``model_type`` trivium-grok1; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-grok1", "Grok1")


class Block(nn.Module):
    """x + norm(attention(norm(x))), then x + norm(experts(norm(x)))."""

    def __init__(self, config: Grok1Config) -> None:
        super().__init__()
        width, epsilon = config.width, config.norm_epsilon
        self.attention_norm = RMSNorm(width, epsilon)
        self.attention = RotaryAttention(
            width,
            config.heads,
            config.groups,
            width // config.heads,
            soft_cap=config.score_cap,
            dropout=config.attention_dropout,
        )
        self.after_attention = nn.Identity()  # seat for an adapter
        self.attention_output_norm = RMSNorm(width, epsilon)
        self.feedforward_norm = RMSNorm(width, epsilon)
        self.feedforward = Experts(width, config.inner_width, config.choice, activation="gelu_tanh")
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.feedforward_output_norm = RMSNorm(width, epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        routings: Routings | None,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(x), layout, rotation, cache, probabilities)
        x = x + self.dropout(self.attention_output_norm(self.after_attention(mixed)))
        mixed = self.feedforward(self.feedforward_norm(x), routings)
        return x + self.dropout(self.feedforward_output_norm(self.after_feedforward(mixed)))


class Grok1(nn.Module):
    """Decoder-only mixture of experts; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: Grok1Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width // config.heads, config.context_tokens)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, scale=config.logit_scale)
        self.apply(normal_)
        smaller_residuals_(self, config.layers)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, times sqrt(D)."""
        return scaled(self.embedding(tokens))

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens."""
        config, like = self.config, self.embedding.weight
        width = config.width // config.heads
        return State.of_caches(rows, config.groups, capacity, width, layers=config.layers, like=like)

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


SIZES = {"grok-1": Grok1Config(key_value_heads=8)}
"""`run.py` of the release."""


def weight_map(config: Grok1Config) -> WeightMap:
    """Our names are the file's."""
    parts = ("attention_norm", "attention_output_norm", "feedforward_norm", "feedforward_output_norm")
    parts += ("attention.qkv", "attention.output")
    parts += ("feedforward.router.logits", "feedforward.gate_up", "feedforward.down")
    return decoder_names(config, [f"{part}.weight" for part in parts])
