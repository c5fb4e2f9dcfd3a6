"""Phi-3 (Abdin et al. 2024).

LLaMA 2's block (section 2), trained on filtered and synthetic text. The small 4k models have a sliding window, the
128k ones LongRoPE: each angle is divided by a factor of its own, one for texts within the original context and another
for longer ones. In later models only a share of a head's features turns.

Which factors apply, the longest text of a batch decides for all. A text that grows past the original context keeps the
keys that it has, turned by the old angles, as LLaMA's does under ``transformers``; its Phi-3 reads the whole text again
at that token.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.models.decoder_format import (
    check_heads,
    check_window,
    llama_fields,
    llama_map,
    modules,
    read_fields,
    require,
    write_llama,
)
from trivium.nn.attention.latent import LatentCache
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.remembered import write
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.decoder import through
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary
from trivium.nn.pre_norm_block import PreNormBlock
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap

_FIELDS = llama_fields(vocabulary_size=32064, width=3072, inner_width=8192, context_tokens=4096, norm_epsilon=1e-5) | {
    "window_tokens": ("sliding_window", None),
    "dropout": ("resid_pdrop", 0.0),
    "embedding_dropout": ("embd_pdrop", 0.0),
}


@dataclass(frozen=True, kw_only=True)
class Phi3Config:
    """Shape of a Phi-3; the defaults are those of the mini model for texts of 4,096 tokens."""

    vocabulary_size: int = 32064
    """Number of pieces V."""
    width: int = 3072
    """Width D of the residual stream."""
    layers: int = 32
    """Number of blocks."""
    heads: int = 32
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    inner_width: int = 8192
    """Width F of the feed-forward layer."""
    context_tokens: int = 4096
    """Longest text, after stretching."""
    rope: Rope = field(default_factory=Rope)
    """Rotary positions, "default" or "longrope"."""
    window_tokens: int | None = 2047
    """A token sees itself and the ``window_tokens - 1`` before it; null for all."""
    norm_epsilon: float = 1e-5
    """Added to the mean square in the norms."""
    embedding_dropout: float = 0.0
    """Dropout on the embedding; ``transformers`` reads it and applies none."""
    dropout: float = 0.0
    """Dropout on residual branches."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = False
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)
        check_window(self.window_tokens, (), self.layers)
        if self.rope.kind not in ("default", "longrope"):  # "yarn" in a file of Phi-3 means LongRoPE
            raise ConfigError("RoPE of Phi-3", received=self.rope.kind, expected="default or longrope")
        for factors in (self.rope.short_factors, self.rope.long_factors):
            if factors is not None and 2 * len(factors) != self.turning_width:
                raise ConfigError(
                    "LongRoPE has one factor for each pair of features that turns",
                    received=f"{len(factors)} factors",
                    expected=f"{self.turning_width // 2}",
                )

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def turning_width(self) -> int:
        """How many features of a head turn."""
        return self.rope.turning_width(self.width // self.heads)

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The window of each layer: the same in all."""
        return (self.window_tokens,) * self.layers

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Phi3Config":
        """From a ``config.json`` of ``model_type`` phi3; ``Unsupported`` for what this file does not compute."""
        require(config, hidden_act="silu")
        return cls(**read_fields(config, _FIELDS), rope=_rope(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        original = self.rope.original_context_tokens or self.context_tokens
        return write_llama(self, _FIELDS, "phi3", "Phi3ForCausalLM") | {"original_max_position_embeddings": original}


def _rope(config: dict[str, Any]) -> Rope:
    """What Phi-3's files say in their own way: LongRoPE under its older names, the original context and the share that
    turns beside the rest."""
    stated = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    kind = stated.pop("rope_type", None) or stated.pop("type", None) or "default"
    stated |= {"type": "longrope" if kind in ("su", "yarn") else kind}
    if "partial_rotary_factor" in config:
        stated.setdefault("partial_rotary_factor", config["partial_rotary_factor"])
    if stated["type"] == "longrope":
        stated["original_max_position_embeddings"] = config.get("original_max_position_embeddings", 4096)
    return Rope.from_hf({**config, "rope_parameters": stated})


def _block(config: Phi3Config) -> PreNormBlock:
    attention = RotaryAttention(
        config.width,
        config.heads,
        config.groups,
        config.width // config.heads,
        window=config.window_tokens,
        dropout=config.attention_dropout,
    )
    feedforward = GatedFeedForward(config.width, config.inner_width, "silu")
    norms = [RMSNorm(config.width, config.norm_epsilon) for _ in range(2)]
    return PreNormBlock(norms, attention, feedforward, dropout=config.dropout)


class Phi3(nn.Module):
    """Decoder-only Transformer with rotary positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: Phi3Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.dropout = nn.Dropout(config.embedding_dropout)
        self.rotary = Rotary(config.rope, config.turning_width, config.context_tokens)
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
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens; under LongRoPE a layer more, see
        ``_read_anew``."""
        groups, windows, like = self.config.groups, self.config.windows, self.embedding.weight
        width = self.config.width // self.config.heads
        state = State.of_caches(rows, groups, capacity, width, layers=len(windows), like=like, windows=windows)
        if self.rotary.follows_length:
            state.layers.append(LatentCache.empty(rows, capacity, self.config.width + 1, like=like))
        return state

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
        past = state
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        if past is not None and state is not None and self.rotary.follows_length:
            state = self._read_anew(past, state.lengths)
            self._keep_read(x, layout, state)
        rotation = self.rotary(layout.positions, x.dtype, layout.reach)
        x, collected = through(self.blocks, x, layout, rotation, state=state, collect=collect)
        return Output(self.norm(x), state, collected=collected)

    def _keep_read(self, x: Float[Tensor, "B T D"], layout: Layout, state: State) -> None:
        """Keeps the inputs ``x``, and by which of LongRoPE's angles each was read."""
        (kept,) = (layer for layer in state.layers if isinstance(layer, LatentCache))
        beyond = self.rotary.beyond(layout.reach).to(x.dtype).expand(x.shape[:2])[..., None]
        both = torch.cat([x, beyond], dim=-1)[:, None]
        write(kept.as_keys(), both, both, layout)

    def _read_anew(self, state: State, lengths: Int[Tensor, "B"]) -> State:
        """``state`` for texts that are to have ``lengths``: one that grows past the original context, or falls back
        within it, is read again from its kept inputs, by the other angles. What stands in the caches was made by the
        old ones in every layer; ``transformers`` reads such a text again too."""
        (kept,) = (layer for layer in state.layers if isinstance(layer, LatentCache))
        beyond = self.rotary.beyond(lengths)
        again = (state.lengths > 0) & ((kept.tokens[:, 0, -1] > 0) != beyond)
        if not bool(again.any()):
            return State(state.layers, lengths)
        old = torch.where(again, state.lengths, 0)
        x = kept.tokens[:, : int(old.max()), :-1]
        layout, anew = causal_layout(x, lengths=old, segments=None, state=state.keep(~again))
        assert anew is not None
        rotation = self.rotary(layout.positions, x.dtype, lengths[:, None])
        through(self.blocks, x, layout, rotation, state=anew, collect=())
        kept.tokens[:, 0, -1] = torch.where(again, beyond, kept.tokens[:, 0, -1] > 0).to(kept.tokens.dtype)
        return State(anew.layers, lengths)


SIZES = {
    "phi-3-mini-4k": Phi3Config(),
    "phi-3-medium-4k": Phi3Config(width=5120, layers=40, heads=40, key_value_heads=10, inner_width=17920),
}
"""Section 2 of the paper; the rest as released. The models for 128k tokens have no size here: the factors of their
LongRoPE, found by a search, were published in their ``config.json`` alone, which ``from_hf`` reads."""


def weight_map(config: Phi3Config) -> WeightMap:
    """Between our names and those of ``Phi3ForCausalLM``, whose projections are joined as ours are."""
    pairs = {
        "attention.qkv": "self_attn.qkv_proj",
        "attention.output": "self_attn.o_proj",
        "feedforward.gate_up": "mlp.gate_up_proj",
        "feedforward.down": "mlp.down_proj",
    }
    names = [(f"blocks.{{i}}.{ours}", f"model.layers.{{i}}.{theirs}") for ours, theirs in pairs.items()]
    return llama_map(config, modules(names, bias=False))
