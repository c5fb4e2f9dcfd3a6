"""GPT-3 (Brown et al. 2020, "Language Models are Few-Shot Learners"), from the description in the paper.

GPT-2, "with the exception that we use alternating dense and locally banded sparse attention patterns in the layers of
the transformer, similar to the Sparse Transformer" (section 2.1). Weights and program were never published.

Guesses, where the paper is silent:

* The width of the band. ``window_tokens`` is 128 here, the stride of the Sparse Transformer for text (Child et al.
  2019, section 7.2), and band means the nearest tokens.
* Which of two layers is dense. Here it is the first, then every other one.
* Heads of the XL model. Table 2.1 gives 24 heads of width 128 in a residual stream of 2,048, which makes 1.5 billion
  parameters; 16 heads make the 1.3 billion that the same line gives, and are what is built here.

The 13B model's width of 5,140 is no multiple of its 40 heads of width 128 either; there the count agrees with the
table as it is printed, and the projections lead from 5,140 to 5,120 and back.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import check_heads
from trivium.models.own_format import decoder_names, read_config, write_config
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.output import Output
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.pre_norm_block import PreNormBlock
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class GPT3Config:
    """Shape of a GPT-3; the defaults are the 175B model's."""

    vocabulary_size: int = 50257
    """Number of pieces V; those of GPT-2."""
    width: int = 12288
    """Width D of the residual stream."""
    layers: int = 96
    """Number of blocks."""
    heads: int = 96
    """Attention heads H."""
    head_width: int | None = None
    """Width K of a head; width / heads where not given."""
    inner_width: int | None = None
    """Width F of the feed-forward layer; 4 * width where not given."""
    context_tokens: int = 2048
    """Longest text, the size of the position table."""
    window_tokens: int = 128
    """In every second layer a token sees itself and so many tokens less one before it; our guess, see above."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches; not published."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities; not published."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)

    @property
    def width_of_head(self) -> int:
        """Head width K."""
        return self.head_width or self.width // self.heads

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The window of each layer; None where it is dense."""
        return tuple(self.window_tokens if layer % 2 else None for layer in range(self.layers))

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GPT3Config":
        """From a ``config.json`` of ``model_type`` trivium-gpt3; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-gpt3", "GPT3")


def _block(config: GPT3Config, window: int | None) -> PreNormBlock:
    attention = RotaryAttention(  # given no rotation: positions are in x
        config.width,
        config.heads,
        config.heads,
        config.width_of_head,
        bias=True,
        output_bias=True,
        window=window,
        dropout=config.attention_dropout,
    )
    feedforward = FeedForward(config.width, config.inner_width or 4 * config.width, "gelu_tanh")
    norms = [nn.LayerNorm(config.width, eps=config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


class GPT3(nn.Module):
    """Decoder-only Transformer, every second layer of which looks at what is near; ``head(output.hidden)`` gives the
    logits."""

    def __init__(self, config: GPT3Config) -> None:
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
        shape = (rows, config.heads, capacity, config.width_of_head)
        return State.of_caches(*shape, layers=config.layers, like=like, windows=config.windows)

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
        x, collected = through(self.blocks, x, layout, None, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


SIZES = {
    "gpt3-small": GPT3Config(width=768, layers=12, heads=12),
    "gpt3-medium": GPT3Config(width=1024, layers=24, heads=16),
    "gpt3-large": GPT3Config(width=1536, layers=24, heads=16),
    "gpt3-xl": GPT3Config(width=2048, layers=24, heads=16),
    "gpt3-2.7b": GPT3Config(width=2560, layers=32, heads=32),
    "gpt3-6.7b": GPT3Config(width=4096, layers=32, heads=32),
    "gpt3-13b": GPT3Config(width=5140, layers=40, heads=40, head_width=128),
    "gpt3-175b": GPT3Config(),
}
"""Table 2.1 of the paper; 16 heads in the XL model are ours, see above."""


def weight_map(config: GPT3Config) -> WeightMap:
    """Our names are the file's."""
    parts = (
        "attention_norm",
        "attention.qkv",
        "attention.output",
        "feedforward_norm",
        "feedforward.up",
        "feedforward.down",
    )
    block = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    return decoder_names(config, block, "norm.bias", "positions.weight")
