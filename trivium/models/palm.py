"""PaLM (Chowdhery et al. 2022, "PaLM: Scaling Language Modeling with Pathways"), from section 2 of the paper.

A decoder whose block computes attention and feed-forward layer side by side, x + attention(n) + feedforward(n) with
n = norm(x), of one norm. SwiGLU, one head of keys and values for all heads of queries (Shazeer 2019), rotary positions,
no bias anywhere, the layer norms included, input and output embedding the same. Section 5 adds how it is trained:
embeddings begin as N(0, 1) and every other matrix as N(0, 1 / inputs), the logits are divided by sqrt(D), and
1e-4 log^2 Z is added to the loss of each token, Z being the normaliser of the softmax.

Guesses: the epsilon of the norms, and that RoPE turns all features of a head, to base 10,000. Dropout was not used in
pre-training.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import check_heads
from trivium.models.own_format import decoder_names, read_config, write_config
from trivium.nn.attention.layout import causal_layout
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.output import Output
from trivium.nn.parallel_block import ParallelBlock
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.real_tokens import real_tokens
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class PaLMConfig:
    """Shape of a PaLM; the defaults are the 540B model's."""

    vocabulary_size: int = 256000
    """Number of pieces V (section 2, "Vocabulary": 256k)."""
    width: int = 18432
    """Width D of the residual stream."""
    layers: int = 118
    """Number of blocks."""
    heads: int = 48
    """Query heads H; one head of keys and values serves them all."""
    head_width: int | None = 256
    """Width K of a head, 256 in every size; width / heads where null."""
    inner_width: int | None = None
    """Width F of the feed-forward layer; 4 * width where not given, as in every size."""
    context_tokens: int = 2048
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=Rope)
    """Rotary positions."""
    norm_epsilon: float = 1e-6
    """Added to the variance in the layer norms; our guess."""
    z_loss_weight: float = 1e-4
    """Of log^2 Z in the training loss (section 5, "Loss function"); it costs a second pass through the output layer."""
    dropout: float = 0.0
    """Dropout on residual branches (0.1 in fine-tuning)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)

    @property
    def width_of_head(self) -> int:
        """Head width K."""
        return self.head_width or self.width // self.heads

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "PaLMConfig":
        """From a ``config.json`` of ``model_type`` trivium-palm; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-palm", "PaLM")


def _block(config: PaLMConfig) -> ParallelBlock:
    dropout = config.attention_dropout
    attention = RotaryAttention(config.width, config.heads, 1, config.width_of_head, dropout=dropout)
    feedforward = GatedFeedForward(config.width, config.inner_width or 4 * config.width, "silu")
    norm = nn.LayerNorm(config.width, eps=config.norm_epsilon, bias=False)
    return ParallelBlock(norm, attention, feedforward, dropout=config.dropout)


class PaLM(nn.Module):
    """Decoder-only Transformer with parallel blocks; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: PaLMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width_of_head, config.context_tokens)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon, bias=False)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, scale=config.width**-0.5)
        self.apply(_initialise)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens."""
        like = self.embedding.weight
        return State.of_caches(rows, 1, capacity, self.config.width_of_head, layers=self.config.layers, like=like)

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
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md; in
        training also the z-loss of all real tokens."""
        x = embedded(self, tokens, embeddings)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        rotation = self.rotary(layout.positions, x.dtype, layout.reach)
        x, collected = through(self.blocks, x, layout, rotation, state=state, collect=collect)
        hidden, auxiliary = self.norm(x), {}
        if self.training and self.config.z_loss_weight and self.head is not None:  # under scores there are no logits
            log_z = self.head.log_normaliser(hidden[real_tokens(hidden, lengths=lengths, segments=segments)])
            auxiliary["z"] = self.config.z_loss_weight * log_z.square().sum()
        return Output(hidden, state, auxiliary, collected)


def _initialise(module: nn.Module) -> None:
    """Section 5, "Weight initialization"; an untied output layer begins as the embedding does."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
    elif isinstance(module, nn.Embedding | OutputHead):
        nn.init.normal_(module.weight)


SIZES = {
    "palm-8b": PaLMConfig(width=4096, layers=32, heads=16),
    "palm-62b": PaLMConfig(width=8192, layers=64, heads=32),
    "palm-540b": PaLMConfig(),
}
"""Table 1 of the paper."""


def weight_map(config: PaLMConfig) -> WeightMap:
    """Our names are the file's."""
    parts = ("norm", "attention.qkv", "attention.output", "feedforward.gate_up", "feedforward.down")
    return decoder_names(config, [f"{part}.weight" for part in parts])
