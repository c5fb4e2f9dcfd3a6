"""LLaMA 1-3 (Touvron et al. 2023a, 2023b; Grattafiori et al. 2024).

The decoder of GPT-2 with three changes (Touvron et al. 2023a, section 2.2): RMSNorm before each
sub-block, a SwiGLU feed-forward layer, rotary positions. LLaMA 2 adds grouped-query attention to its
larger models; LLaMA 3 a larger vocabulary and a stretched RoPE.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_
from trivium.nn.linear import Linear
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary, rotate
from trivium.nn.state import KeyValueCache, State
from trivium.nn.weight_map import Fuse, Rename, WeightMap


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """Shape of a LLaMA; the defaults are the 7B model's."""

    vocabulary_size: int = 32000
    """Number of pieces V."""
    width: int = 4096
    """Width D of the residual stream."""
    layers: int = 32
    """Number of blocks."""
    heads: int = 32
    """Query heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, a divisor of ``heads``; ``heads`` where not given."""
    head_width: int | None = None
    """Width K of a head; width / heads where not given."""
    inner_width: int = 11008
    """Width F of the feed-forward layer."""
    context_tokens: int = 2048
    """Longest text of pre-training; RoPE itself has no limit."""
    rope: Rope = field(default_factory=Rope)
    """Rotary positions and their scaling."""
    norm_epsilon: float = 1e-6
    """Added to the mean square in the norms."""
    attention_bias: bool = False
    """Biases on the q, k, v and output projections."""
    feedforward_bias: bool = False
    """Biases in the feed-forward layer."""
    dropout: float = 0.0
    """Dropout on residual branches; ours, for small corpora (the published models use none)."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = False
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        if self.head_width is None and self.width % self.heads:
            raise ConfigError(
                "the heads do not divide the width",
                received=f"width {self.width}, heads {self.heads}",
                fix=f"choose a width that is a multiple of {self.heads}, or give head_width",
            )
        if self.heads % self.groups:
            raise ConfigError(
                "the key-value heads do not divide the heads",
                received=f"heads {self.heads}, key_value_heads {self.groups}",
                fix="choose key_value_heads among the divisors of heads",
            )

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def width_of_head(self) -> int:
        """Head width K."""
        return self.head_width or self.width // self.heads

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "LlamaConfig":
        """From a ``config.json`` of ``model_type`` llama; ``Unsupported`` for what this file does not compute."""
        if config.get("hidden_act", "silu") != "silu":
            raise Unsupported("hidden_act", received=config["hidden_act"], expected="silu")
        if config.get("pretraining_tp", 1) != 1:
            raise Unsupported("pretraining_tp", received=config["pretraining_tp"], expected="1")
        return cls(
            vocabulary_size=config.get("vocab_size", 32000),
            width=config.get("hidden_size", 4096),
            layers=config.get("num_hidden_layers", 32),
            heads=config.get("num_attention_heads", 32),
            key_value_heads=config.get("num_key_value_heads"),
            head_width=config.get("head_dim"),
            inner_width=config.get("intermediate_size", 11008),
            context_tokens=config.get("max_position_embeddings", 2048),
            rope=Rope.from_hf(config),
            norm_epsilon=config.get("rms_norm_eps", 1e-6),
            attention_bias=config.get("attention_bias", False),
            feedforward_bias=config.get("mlp_bias", False),
            dropout=config.get("residual_dropout", 0.0),
            attention_dropout=config.get("attention_dropout", 0.0),
            tied=config.get("tie_word_embeddings", False),
        )

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens (``residual_dropout`` is ours and ignored there)."""
        return {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "vocab_size": self.vocabulary_size,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.groups,
            "head_dim": self.width_of_head,
            "intermediate_size": self.inner_width,
            "max_position_embeddings": self.context_tokens,
            "rope_parameters": self.rope.to_hf(),
            "rms_norm_eps": self.norm_epsilon,
            "attention_bias": self.attention_bias,
            "mlp_bias": self.feedforward_bias,
            "residual_dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "tie_word_embeddings": self.tied,
            "hidden_act": "silu",
        }


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions; q, k and v come of one product."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.heads, self.groups, self.head_width = config.heads, config.groups, config.width_of_head
        self.qkv = Linear(config.width, sum(qkv_sizes(config)), bias=config.attention_bias)
        self.output = Linear(self.heads * self.head_width, config.width, bias=config.attention_bias)
        self.dropout = config.attention_dropout

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        cache: KeyValueCache | None,
        probabilities: list[Tensor] | None,
    ) -> Float[Tensor, "B T D"]:
        rows, length, _ = x.shape
        qkv = self.qkv(x).view(rows, length, self.heads + 2 * self.groups, self.head_width)
        qk, v = qkv.split([self.heads + self.groups, self.groups], dim=2)
        q, k = rotate(qk, rotation).transpose(1, 2).split([self.heads, self.groups], dim=1)
        v = v.transpose(1, 2)
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout))
        mixed = attend(q, k, v, layout, cache=cache, dropout=self.dropout if self.training else 0.0)
        return self.output(mixed.transpose(1, 2).reshape(rows, length, self.heads * self.head_width))


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x))."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_epsilon)
        self.attention = Attention(config)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = RMSNorm(config.width, config.norm_epsilon)
        self.feedforward = GatedFeedForward(config.width, config.inner_width, "silu", bias=config.feedforward_bias)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        cache: KeyValueCache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(x), layout, rotation, cache, probabilities)
        x = x + self.dropout(self.after_attention(mixed))
        return x + self.dropout(self.after_feedforward(self.feedforward(self.feedforward_norm(x))))


class Llama(nn.Module):
    """Decoder-only Transformer with rotary positions; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.rotary = Rotary(config.rope, config.width_of_head, config.context_tokens)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to)
        self.apply(normal_)
        for name, parameter in self.named_parameters():  # as in GPT-2, section 2.3: residual branches add up
            if name.endswith(("attention.output.weight", "feedforward.down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.layers))

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty cache for ``rows`` texts of at most ``capacity`` tokens."""
        shape = (rows, self.config.groups, capacity, self.config.width_of_head)
        like = self.embedding.weight
        layers = [KeyValueCache.empty(*shape, like=like) for _ in self.blocks]
        return State(list(layers), torch.zeros(rows, dtype=torch.long, device=like.device))

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
        rotation = self.rotary(layout.positions, x.dtype)
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        probabilities = collected.get("attention")
        for i, block in enumerate(self.blocks):
            if "hidden" in collected:
                collected["hidden"].append(x)
            x = block(x, layout, rotation, state.layers[i] if state is not None else None, probabilities)
        if "hidden" in collected:
            collected["hidden"].append(x)
        return Output(self.norm(x), state, collected=collected)


_LLAMA3_ROPE = Rope(
    kind="llama3",
    base=500000.0,
    factor=8.0,
    low_frequency_factor=1.0,
    high_frequency_factor=4.0,
    original_context_tokens=8192,
)

SIZES = {
    "llama-7b": LlamaConfig(),
    "llama-13b": LlamaConfig(width=5120, layers=40, heads=40, inner_width=13824),
    "llama-33b": LlamaConfig(width=6656, layers=60, heads=52, inner_width=17920),
    "llama-65b": LlamaConfig(width=8192, layers=80, heads=64, inner_width=22016),
    "llama-2-70b": LlamaConfig(
        width=8192, layers=80, heads=64, key_value_heads=8, inner_width=28672, context_tokens=4096, norm_epsilon=1e-5
    ),
    "llama-3.1-8b": LlamaConfig(
        vocabulary_size=128256,
        key_value_heads=8,
        inner_width=14336,
        context_tokens=131072,
        rope=_LLAMA3_ROPE,
        norm_epsilon=1e-5,
    ),
}
"""Table 2 of Touvron et al. 2023a, table 1 of 2023b, table 3 of Grattafiori et al. 2024."""


def qkv_sizes(config: LlamaConfig) -> tuple[int, int, int]:
    """Rows of the fused projection that are q, k and v."""
    keys = config.groups * config.width_of_head
    return config.heads * config.width_of_head, keys, keys


def weight_map(config: LlamaConfig) -> WeightMap:
    """Between our names and those of ``LlamaForCausalLM``: q, k, v are one matrix here, gate and up another."""
    block, layer = "blocks.{i}.", "model.layers.{i}."
    entries: list[Rename | Fuse] = [Rename("embedding.weight", "model.embed_tokens.weight")]
    entries.append(Rename(block + "attention_norm.weight", layer + "input_layernorm.weight"))
    for kind in ("weight", "bias") if config.attention_bias else ("weight",):
        projections = tuple(f"{layer}self_attn.{name}_proj.{kind}" for name in "qkv")
        entries.append(Fuse(f"{block}attention.qkv.{kind}", projections, qkv_sizes(config)))
        entries.append(Rename(f"{block}attention.output.{kind}", f"{layer}self_attn.o_proj.{kind}"))
    entries.append(Rename(block + "feedforward_norm.weight", layer + "post_attention_layernorm.weight"))
    for kind in ("weight", "bias") if config.feedforward_bias else ("weight",):
        pair = (f"{layer}mlp.gate_proj.{kind}", f"{layer}mlp.up_proj.{kind}")
        entries.append(Fuse(f"{block}feedforward.gate_up.{kind}", pair, (config.inner_width, config.inner_width)))
        entries.append(Rename(f"{block}feedforward.down.{kind}", f"{layer}mlp.down_proj.{kind}"))
    entries.append(Rename("norm.weight", "model.norm.weight"))
    ignored = ["model.layers.{i}.self_attn.rotary_emb.inv_freq"]  # a buffer of old files
    if config.tied:
        return WeightMap(tuple(entries), config.layers, ("head.weight",), (*ignored, "lm_head.weight"))
    entries.append(Rename("head.weight", "lm_head.weight"))
    return WeightMap(tuple(entries), config.layers, (), tuple(ignored))
