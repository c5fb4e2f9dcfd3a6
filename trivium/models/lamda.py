"""LaMDA (Thoppilan et al. 2022, "LaMDA: Language Models for Dialog Applications"), from the description in the paper.

A decoder with relative attention as T5 has it, a learned score for each head and bucket of distances, and gated GELU
(section 3). The 137B model has 64 layers of width 8,192, 128 heads of width 128 and feed-forward layers of width
65,536; of the others appendix D (table 27) gives layers, width and heads.

Guesses: what T5 has where the paper says nothing (RMSNorm before each sub-block, no biases, one table of 32 buckets
up to 128 tokens for all layers), scores divided by the square root of a head's width, tied embeddings, and in the
smaller models feed-forward layers of eight times the width, as in the large one. With that the 2B model has 2.1 billion
parameters without its embedding and the 8B model 8.6, where the paper says 2 and 8: their shape is not published well
enough to reproduce the counts. That of 137B agrees.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import check_heads
from trivium.models.own_format import decoder_names, read_config, write_config
from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Bias, Scoring
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.linear import Linear
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.relative import RelativeBias
from trivium.nn.pre_norm_block import PreNormBlock
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class LaMDAConfig:
    """Shape of a LaMDA; the defaults are the 137B model's."""

    vocabulary_size: int = 32000
    """Number of pieces V (section 3: 32k)."""
    width: int = 8192
    """Width D of the residual stream."""
    layers: int = 64
    """Number of blocks."""
    heads: int = 128
    """Attention heads H."""
    head_width: int | None = 128
    """Width K of a head; width / heads where null."""
    inner_width: int | None = None
    """Width F of the feed-forward layer; 8 * width where not given."""
    buckets: int = 32
    """Buckets of distances; T5's."""
    furthest_tokens: int = 128
    """Distances from here on share a bucket; T5's."""
    context_tokens: int = 2048
    """Longest text; not published. Distances themselves have no limit."""
    norm_epsilon: float = 1e-6
    """Added to the mean square in the norms; T5's."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches; not published."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities; not published."""
    tied: bool = True
    """Output weights are the input embedding; our guess."""

    def __post_init__(self) -> None:
        check_heads(self)

    @property
    def width_of_head(self) -> int:
        """Head width K."""
        return self.head_width or self.width // self.heads

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "LaMDAConfig":
        """From a ``config.json`` of ``model_type`` trivium-lamda; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-lamda", "LaMDA")


class Attention(nn.Module):
    """Multi-head attention whose scores are raised or lowered by distance."""

    def __init__(self, config: LaMDAConfig) -> None:
        super().__init__()
        self.heads, self.head_width, self.dropout = config.heads, config.width_of_head, config.attention_dropout
        self.qkv = Linear(config.width, 3 * self.heads * self.head_width, bias=False)
        self.output = Linear(self.heads * self.head_width, config.width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        bias: Bias,
        cache: Cache | None,
        probabilities: list[Tensor] | None,
    ) -> Float[Tensor, "B T D"]:
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, self.head_width))
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        how = Scoring(bias=bias, dropout=self.dropout if self.training else 0.0)
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout, how))
        mixed = attend(q, k, v, layout, how, cache=cache)
        return self.output(mixed.transpose(1, 2).flatten(2))


def _block(config: LaMDAConfig) -> PreNormBlock:
    feedforward = GatedFeedForward(config.width, config.inner_width or 8 * config.width, "gelu_tanh")
    norms = [RMSNorm(config.width, config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, Attention(config), feedforward, dropout=config.dropout)


class LaMDA(nn.Module):
    """Decoder-only Transformer with T5's relative positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: LaMDAConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.relative = RelativeBias(config.heads, config.buckets, config.furthest_tokens, bidirectional=False)
        self.dropout = nn.Dropout(config.dropout)
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
        return State.of_caches(rows, config.heads, capacity, config.width_of_head, layers=config.layers, like=like)

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
        bias = self.relative.shared(layout)
        x, collected = through(self.blocks, self.dropout(x), layout, bias, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


SIZES = {
    "lamda-2b": LaMDAConfig(width=2560, layers=10, heads=40),
    "lamda-8b": LaMDAConfig(width=4096, layers=16, heads=64),
    "lamda-137b": LaMDAConfig(),
}
"""Section 3 and table 27 (appendix D) of the paper."""


def weight_map(config: LaMDAConfig) -> WeightMap:
    """Our names are the file's."""
    parts = ("attention_norm", "attention.qkv", "attention.output", "feedforward_norm")
    parts += ("feedforward.gate_up", "feedforward.down")
    return decoder_names(config, [f"{part}.weight" for part in parts], "relative.weight")
