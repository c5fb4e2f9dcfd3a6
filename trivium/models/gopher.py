"""Gopher (Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher") and Chinchilla
(Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models"), from the descriptions in the papers.

GPT-2 with two changes (Rae et al. 2021, section 3.1): RMSNorm for layer norm, and Transformer-XL's relative positions
(Dai et al. 2019) for absolute ones. Chinchilla is the same network, narrower and longer trained (Hoffmann et al. 2022,
section 4.1).

What the papers leave open is taken from GPT-2: biases, GELU, the norm before each sub-block and after the last, tied
embeddings. The published sizes agree with it: the counts of table 1 come out only with tied embeddings and with a
projection of distances, D x D, in every layer. The epsilon of the norms is a guess.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import check_heads
from trivium.models.own_format import decoder_names, read_config, write_config
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.transformer_xl import TransformerXLAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.pre_norm_block import PreNormBlock
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class GopherConfig:
    """Shape of a Gopher; the defaults are the 280B model's."""

    vocabulary_size: int = 32000
    """Number of pieces V (section 3.1)."""
    width: int = 16384
    """Width D of the residual stream, a multiple of ``heads``."""
    layers: int = 80
    """Number of blocks."""
    heads: int = 128
    """Attention heads H."""
    inner_width: int | None = None
    """Width F of the feed-forward layer; 4 * width where not given, as in every size."""
    context_tokens: int = 2048
    """Longest text of pre-training; distances themselves have no limit."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches; ours, for small corpora (the papers mention none)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the mean square in the norms; our guess."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GopherConfig":
        """From a ``config.json`` of ``model_type`` trivium-gopher; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-gopher", "Gopher")


def _block(config: GopherConfig) -> PreNormBlock:
    attention = TransformerXLAttention(
        config.width,
        config.heads,
        config.width // config.heads,
        bias=True,
        output_bias=True,
        dropout=config.attention_dropout,
    )
    feedforward = FeedForward(config.width, config.inner_width or 4 * config.width, "gelu_tanh")
    norms = [RMSNorm(config.width, config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


class Gopher(nn.Module):
    """Decoder-only Transformer that knows distances; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: GopherConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
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
        heads, like = self.config.heads, self.embedding.weight
        return State.of_caches(rows, heads, capacity, self.config.width // heads, layers=self.config.layers, like=like)

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
        x, collected = through(self.blocks, self.dropout(x), layout, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


SIZES = {
    "gopher-44m": GopherConfig(width=512, layers=8, heads=16),
    "gopher-117m": GopherConfig(width=768, layers=12, heads=12),
    "gopher-417m": GopherConfig(width=1536, layers=12, heads=12),
    "gopher-1.4b": GopherConfig(width=2048, layers=24, heads=16),
    "gopher-7.1b": GopherConfig(width=4096, layers=32, heads=32),
    "gopher-280b": GopherConfig(),
    "chinchilla-70b": GopherConfig(width=8192, layers=80, heads=64),
}
"""Table 1 of Rae et al. 2021, table 4 of Hoffmann et al. 2022."""


def weight_map(config: GopherConfig) -> WeightMap:
    """Our names are the file's."""
    parts = ("attention.qkv", "attention.output", "feedforward.up", "feedforward.down")
    block = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    block += ["attention_norm.weight", "feedforward_norm.weight"]
    block += [f"attention.mixing.relation.{name}" for name in ("position.weight", "content_bias", "position_bias")]
    return decoder_names(config, block)
