"""Falcon (Almazrouei et al. 2023, "The Falcon Series of Open Language Models").

PaLM's parallel block: attention and feed-forward layer read the same norm, or one each, and are added
together; keys and values are shared by all heads (7B) or by groups of them (40B, 180B). The small models that the
quality of RefinedWeb was measured by (Penedo et al. 2023) have ALiBi and GPT-2's order instead.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.models.decoder_format import (
    check_heads,
    modules,
    read_fields,
    rope_of_whole_heads,
    with_head,
    write_fields,
)
from trivium.models.gpt_format import NO_SPECIAL_IDS, megatron_linears, read_activation, write_activation
from trivium.nn.attention.kernel import Bias
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.megatron_attention import MegatronAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation, FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.output import Output
from trivium.nn.positions.alibi import slopes
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.state import KeyValueCache, State
from trivium.nn.weight_map import Rename, WeightMap

_FIELDS = {
    "vocabulary_size": ("vocab_size", 65024),
    "width": ("hidden_size", 4544),
    "layers": ("num_hidden_layers", 32),
    "heads": ("num_attention_heads", 71),
    "inner_width": ("ffn_hidden_size", None),
    "context_tokens": ("max_position_embeddings", 2048),
    "alibi": ("alibi", False),
    "bias": ("bias", False),
    "dropout": ("hidden_dropout", 0.0),
    "attention_dropout": ("attention_dropout", 0.0),
    "norm_epsilon": ("layer_norm_epsilon", 1e-5),
    "tied": ("tie_word_embeddings", True),
}


@dataclass(frozen=True, kw_only=True)
class FalconConfig:
    """Shape of a Falcon; the defaults are the 7B model's."""

    vocabulary_size: int = 65024
    """Number of pieces V."""
    width: int = 4544
    """Width D of the residual stream."""
    layers: int = 32
    """Number of blocks."""
    heads: int = 71
    """Query heads H; ``width`` is a multiple of it."""
    key_value_heads: int = 1
    """Key and value heads G, a divisor of ``heads``."""
    inner_width: int | None = None
    """Width F of the feed-forward layer; 4 * width where not given."""
    context_tokens: int = 2048
    """Longest text of pre-training; neither RoPE nor ALiBi has a limit."""
    rope: Rope = field(default_factory=Rope)
    """Rotary positions and their scaling, without ``alibi``."""
    alibi: bool = False
    """Biases by distance instead of rotary positions."""
    parallel: bool = True
    """Attention and feed-forward layer read the same input, else the second reads what the first has left."""
    parallel_norms: int = 1
    """Norms of a parallel block: 1 for both of its parts, or 2, one each (40B and 180B)."""
    activation: Activation = "gelu"
    """Non-linearity of the feed-forward layer."""
    bias: bool = False
    """Biases in all linear layers."""
    dropout: float = 0.0
    """Dropout on residual branches."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)
        if self.parallel_norms not in (1, 2):
            raise ConfigError("a parallel block has one norm or two", received=self.parallel_norms, expected="1 or 2")
        if not self.parallel and (self.parallel_norms == 2 or self._grouped):
            raise ConfigError(
                "Falcon's sequential blocks have as many key heads as heads, or one",
                received=f"key_value_heads {self.key_value_heads}, parallel_norms {self.parallel_norms}",
                expected=f"key_value_heads 1 or {self.heads}, parallel_norms 1",
            )

    @property
    def _grouped(self) -> bool:
        return self.key_value_heads not in (1, self.heads)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "FalconConfig":
        """From a ``config.json`` of ``model_type`` falcon; ``Unsupported`` for what this file does not compute."""
        fields = read_fields(config, _FIELDS)
        new, parallel = config.get("new_decoder_architecture", False), config.get("parallel_attn", True)
        norms, heads = config.get("num_ln_in_parallel_attn"), fields["heads"]
        if (not parallel) if new else norms == 2:  # transformers has no tensors for these
            raise Unsupported(
                "two norms belong to the new architecture, whose blocks are parallel",
                received=f"new_decoder_architecture {new}, parallel_attn {parallel}, num_ln_in_parallel_attn {norms}",
            )
        if new:
            groups = config.get("num_kv_heads") or heads
        else:
            groups = 1 if config.get("multi_query", True) else heads
        return cls(
            **fields,
            key_value_heads=groups,
            rope=rope_of_whole_heads(config),
            parallel=parallel,
            parallel_norms=(norms or 2) if new else 1,
            activation=read_activation("activation", config.get("activation", "gelu")),
        )

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens; the old architecture where that can say it."""
        new = self._grouped or self.parallel_norms == 2
        return {
            "model_type": "falcon",
            "architectures": ["FalconForCausalLM"],
            **write_fields(self, _FIELDS),
            "num_kv_heads": self.key_value_heads,
            "multi_query": self.key_value_heads == 1,
            "new_decoder_architecture": new,
            "parallel_attn": self.parallel,
            "num_ln_in_parallel_attn": self.parallel_norms if new else None,
            "activation": write_activation(self.activation),
            "rope_parameters": self.rope.to_hf(),
            **NO_SPECIAL_IDS,
        }


class Block(nn.Module):
    """x + attention(norm(x)) + feedforward(the same norm(x), or another one); or one after the other."""

    def __init__(self, config: FalconConfig) -> None:
        super().__init__()
        width = config.width
        self.attention_norm = nn.LayerNorm(width, eps=config.norm_epsilon)
        self.attention = MegatronAttention(
            width, config.heads, config.key_value_heads, bias=config.bias, dropout=config.attention_dropout
        )
        self.after_attention = nn.Identity()  # seat for an adapter
        one_norm = config.parallel and config.parallel_norms == 1
        self.feedforward_norm = None if one_norm else nn.LayerNorm(width, eps=config.norm_epsilon)
        self.feedforward = FeedForward(width, config.inner_width or 4 * width, config.activation, bias=config.bias)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(config.dropout)
        self.parallel = config.parallel

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"] | None,
        bias: Bias | None,
        cache: KeyValueCache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        normed = self.attention_norm(x)
        mixed = self.attention(normed, layout, cache, probabilities, rotation=rotation, bias=bias)
        added = x + self.dropout(self.after_attention(mixed))
        if self.feedforward_norm is not None:
            normed = self.feedforward_norm(x if self.parallel else added)
        return added + self.dropout(self.after_feedforward(self.feedforward(normed)))


class Falcon(nn.Module):
    """Decoder-only Transformer with parallel blocks; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: FalconConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = None if config.alibi else Rotary(config.rope, config.width // config.heads, config.context_tokens)
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
        config, like = self.config, self.embedding.weight
        width = config.width // config.heads
        return State.of_caches(rows, config.key_value_heads, capacity, width, layers=config.layers, like=like)

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
        rotation = None if self.rotary is None else self.rotary(layout.positions, x.dtype, layout.reach)
        bias = rounded_alibi(self.config.heads, self.config.width, like=x) if self.rotary is None else None
        x, collected = through(self.blocks, x, layout, rotation, bias, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)


def rounded_alibi(heads: int, width: int, like: Tensor) -> Bias:
    """ALiBi as Falcon was trained with it, in the dtype and on the device of ``like``.

    The published code multiplies slopes by the positions of the keys themselves (a softmax does not see what a row of
    scores has in common), and does so in bf16, whatever the model's dtype: beyond 256 positions are rounded, and a
    trained model knows that rounding. The bias is added before scores are divided by sqrt(K), so it is divided too.
    """
    slope = torch.tensor(slopes(heads), device=like.device).bfloat16()[:, None, None]
    scale = (width // heads) ** -0.5

    def bias(queries: Int[Tensor, "*B T"], keys: Int[Tensor, "*C S"]) -> Float[Tensor, "*D H 1 S"]:
        return (slope * torch.atleast_2d(keys)[:, None, None, :]).to(like.dtype) * scale

    return bias


SIZES = {
    "falcon-rw-1b": FalconConfig(
        vocabulary_size=50304,
        width=2048,
        layers=24,
        heads=32,
        key_value_heads=32,
        alibi=True,
        parallel=False,
        bias=True,
    ),
    "falcon-7b": FalconConfig(),
    "falcon-40b": FalconConfig(width=8192, layers=60, heads=128, key_value_heads=8, parallel_norms=2),
    "falcon-180b": FalconConfig(width=14848, layers=80, heads=232, key_value_heads=8, parallel_norms=2),
}
"""The released configurations."""


def weight_map(config: FalconConfig) -> WeightMap:
    """Between our names and those of ``FalconForCausalLM``, whose queries, keys and values stand by group."""
    block, layer = "blocks.{i}.", "transformer.h.{i}."
    theirs = ("input_layernorm", "post_attention_layernorm")
    if config.parallel:
        theirs = ("input_layernorm",) if config.parallel_norms == 1 else ("ln_attn", "ln_mlp")
    ours = ("attention_norm", "feedforward_norm")
    norms = [(block + mine, layer + other) for mine, other in zip(ours, theirs, strict=False)]
    attention, feedforward = megatron_linears(layer, "self_attention")
    entries = [
        Rename("embedding.weight", "transformer.word_embeddings.weight"),
        *modules([*norms, ("norm", "transformer.ln_f")]),
        *modules(attention + feedforward, bias=config.bias),
    ]
    return with_head(entries, config, "lm_head", ignored=(f"{layer}self_attention.rotary_emb.inv_freq",))
