"""GPT-NeoX (Black et al. 2022, "GPT-NeoX-20B"), also the architecture of Pythia (Biderman et al. 2023).

GPT-J's decoder with a norm of its own for each sub-block (section 2.1): the first quarter of each head's features is
turned, attention and feed-forward layer read the same input and are added together.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.decoder_format import check_heads, modules, read_fields, with_head, write_fields
from trivium.models.gpt_format import NO_SPECIAL_IDS, megatron_linears, read_activation, write_activation
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.megatron_attention import MegatronAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation, FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.state import KeyValueCache, State
from trivium.nn.weight_map import Rename, WeightMap

_FIELDS = {
    "vocabulary_size": ("vocab_size", 50432),
    "width": ("hidden_size", 6144),
    "layers": ("num_hidden_layers", 44),
    "heads": ("num_attention_heads", 64),
    "inner_width": ("intermediate_size", 24576),
    "context_tokens": ("max_position_embeddings", 2048),
    "parallel": ("use_parallel_residual", True),
    "attention_bias": ("attention_bias", True),
    "dropout": ("hidden_dropout", 0.0),
    "attention_dropout": ("attention_dropout", 0.0),
    "norm_epsilon": ("layer_norm_eps", 1e-5),
    "tied": ("tie_word_embeddings", False),
}


@dataclass(frozen=True, kw_only=True)
class GPTNeoXConfig:
    """Shape of a GPT-NeoX; the defaults are the 20B model's."""

    vocabulary_size: int = 50432
    """Number of pieces V."""
    width: int = 6144
    """Width D of the residual stream."""
    layers: int = 44
    """Number of blocks."""
    heads: int = 64
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int = 24576
    """Width F of the feed-forward layer."""
    context_tokens: int = 2048
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=lambda: Rope(turning_share=0.25))
    """Rotary positions and their scaling; a quarter of each head turns."""
    parallel: bool = True
    """Attention and feed-forward layer read the same input, else the second reads what the first has left."""
    activation: Activation = "gelu_tanh"
    """Non-linearity of the feed-forward layer ("gelu" in Pythia)."""
    attention_bias: bool = True
    """Biases on the q, k, v and output projections."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = False
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "GPTNeoXConfig":
        """From a ``config.json`` of ``model_type`` gpt_neox; ``Unsupported`` for what this file does not compute."""
        rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
        rope.setdefault("rope_theta", config.get("rotary_emb_base", 10000.0))  # as transformers 4 wrote them
        rope.setdefault("partial_rotary_factor", config.get("rotary_pct", 0.25))
        return cls(
            **read_fields(config, _FIELDS),
            rope=Rope.from_hf({**config, "rope_parameters": rope}),
            activation=read_activation("hidden_act", config.get("hidden_act", "gelu")),
        )

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return {
            "model_type": "gpt_neox",
            "architectures": ["GPTNeoXForCausalLM"],
            **write_fields(self, _FIELDS),
            "hidden_act": write_activation(self.activation),
            "rope_parameters": self.rope.to_hf(),
            **NO_SPECIAL_IDS,
        }


class Block(nn.Module):
    """x + attention(norm(x)) + feedforward(another norm(x)); or one after the other."""

    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.attention = MegatronAttention(
            config.width,
            config.heads,
            config.heads,
            bias=config.attention_bias,
            dropout=config.attention_dropout,
        )
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.feedforward = FeedForward(config.width, config.inner_width, config.activation)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(config.dropout)
        self.parallel = config.parallel

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        cache: KeyValueCache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(x), layout, cache, probabilities, rotation=rotation)
        added = x + self.dropout(self.after_attention(mixed))
        inner = self.feedforward(self.feedforward_norm(x if self.parallel else added))
        return added + self.dropout(self.after_feedforward(inner))


class GPTNeoX(nn.Module):
    """Decoder-only Transformer with rotary positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.dropout = nn.Dropout(config.dropout)
        turning = config.rope.turning_width(config.width // config.heads)
        self.rotary = Rotary(config.rope, turning, config.context_tokens)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
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
        x = self.dropout(embedded(self, tokens, embeddings))
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        rotation = self.rotary(layout.positions, x.dtype, layout.reach)
        x, collected = through(self.blocks, x, layout, rotation, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


def _pythia(width: int, layers: int, heads: int, vocabulary_size: int = 50304) -> GPTNeoXConfig:
    return GPTNeoXConfig(
        vocabulary_size=vocabulary_size,
        width=width,
        layers=layers,
        heads=heads,
        inner_width=4 * width,
        activation="gelu",
    )


SIZES = {
    "pythia-70m": _pythia(512, 6, 8),
    "pythia-160m": _pythia(768, 12, 12),
    "pythia-410m": _pythia(1024, 24, 16),
    "pythia-1b": _pythia(2048, 16, 8),
    "pythia-1.4b": _pythia(2048, 24, 16),
    "pythia-2.8b": _pythia(2560, 32, 32),
    "pythia-6.9b": _pythia(4096, 32, 32, 50432),
    "pythia-12b": _pythia(5120, 36, 40, 50688),
    "gpt-neox-20b": GPTNeoXConfig(),
}
"""Table 1 of Biderman et al. 2023 and section 2.1 of Black et al. 2022; rows of the embedding as released."""


def weight_map(config: GPTNeoXConfig) -> WeightMap:
    """Between our names and those of ``GPTNeoXForCausalLM``, whose queries, keys and values stand by head."""
    block, layer = "blocks.{i}.", "gpt_neox.layers.{i}."
    attention, feedforward = megatron_linears(layer, "attention")
    norms = [
        (f"{block}attention_norm", f"{layer}input_layernorm"),
        (f"{block}feedforward_norm", f"{layer}post_attention_layernorm"),
        ("norm", "gpt_neox.final_layer_norm"),
    ]
    entries = [
        Rename("embedding.weight", "gpt_neox.embed_in.weight"),
        *modules(norms + feedforward),
        *modules(attention, bias=config.attention_bias),
    ]
    # Masks and angles of old files.
    ignored = tuple(f"{layer}attention.{name}" for name in ("bias", "masked_bias", "rotary_emb.inv_freq"))
    return with_head(entries, config, "embed_out", ignored=ignored)
