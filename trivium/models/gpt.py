"""GPT (Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training"), the first of the name.

The decoder of the Transformer without its source (section 3.1; Liu et al. 2018), with learned positions and GELU
(section 4.1). The norms stand after each residual sum, as in Vaswani et al. 2017; there is none at the end.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported
from trivium.models.decoder_format import check_heads, named, read_fields, with_head, write_fields
from trivium.models.gpt_format import NO_SPECIAL_IDS, conv1d_blocks
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.self_attention import SelfAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation, FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_
from trivium.nn.output import Output
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.state import KeyValueCache, State
from trivium.nn.weight_map import Rename, WeightMap

_FIELDS = {
    "vocabulary_size": ("vocab_size", 40478),
    "width": ("n_embd", 768),
    "layers": ("n_layer", 12),
    "heads": ("n_head", 12),
    "context_tokens": ("n_positions", 512),
    "dropout": ("resid_pdrop", 0.1),
    "attention_dropout": ("attn_pdrop", 0.1),
    "norm_epsilon": ("layer_norm_epsilon", 1e-5),
    "tied": ("tie_word_embeddings", True),
}
# In these files "gelu" is its tanh approximation, which everywhere else is called "gelu_new".
_ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """Shape of a GPT; the defaults are the published model's. Its feed-forward layers are four times as wide as its
    blocks."""

    vocabulary_size: int = 40478
    """Number of pieces V."""
    width: int = 768
    """Width D of the residual stream."""
    layers: int = 12
    """Number of blocks."""
    heads: int = 12
    """Attention heads H; ``width`` is a multiple of it."""
    context_tokens: int = 512
    """Longest text, the size of the position table."""
    activation: Activation = "gelu_tanh"
    """Non-linearity of the feed-forward layer."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches (0.1 in the published model)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GPTConfig":
        """From a ``config.json`` of ``model_type`` openai-gpt; ``Unsupported`` for what this file does not compute."""
        fields = read_fields(config, _FIELDS)
        if config.get("embd_pdrop", 0.1) != fields["dropout"]:
            raise Unsupported("different embd_pdrop and resid_pdrop", expected="one value for both")
        return cls(**fields, activation=named(_ACTIVATIONS, "afn", config.get("afn", "gelu")))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        theirs = {ours: name for name, ours in reversed(_ACTIVATIONS.items())}
        return {
            "model_type": "openai-gpt",
            "architectures": ["OpenAIGPTLMHeadModel"],
            **write_fields(self, _FIELDS),
            "embd_pdrop": self.dropout,
            "afn": named(theirs, "activation", self.activation),
            **NO_SPECIAL_IDS,
        }


class Block(nn.Module):
    """norm(x + attention(x)), then norm(x + feedforward(x))."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config.width, config.heads, dropout=config.attention_dropout)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.feedforward = FeedForward(config.width, 4 * config.width, config.activation)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        cache: KeyValueCache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(x, layout, cache, probabilities)
        x = self.attention_norm(x + self.dropout(self.after_attention(mixed)))
        return self.feedforward_norm(x + self.dropout(self.after_feedforward(self.feedforward(x))))


class GPT(nn.Module):
    """Decoder-only Transformer with learned positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = LearnedPositions(config.context_tokens, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, before positions are added."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens."""
        heads, like = self.config.heads, self.embedding.weight
        width = self.config.width // heads
        return State.of_caches(rows, heads, capacity, width, layers=self.config.layers, like=like)

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
        x, collected = through(self.blocks, x, layout, state=state, collect=collect)
        return Output(x, state, collected=collected)


SIZES = {"gpt": GPTConfig()}
"""Section 4.1 of the paper; the vocabulary (40,000 merges and the characters they begin with) is the released one."""


def weight_map(config: GPTConfig) -> WeightMap:
    """Between our names and those of ``OpenAIGPTLMHeadModel``."""
    entries = [
        Rename("embedding.weight", "transformer.tokens_embed.weight"),
        Rename("positions.weight", "transformer.positions_embed.weight"),
        *conv1d_blocks(),
    ]
    return with_head(entries, config, "lm_head", ignored=("transformer.h.{i}.attn.bias",))  # the causal mask
