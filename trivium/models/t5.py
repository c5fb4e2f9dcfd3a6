"""T5 1.0 and 1.1 (Raffel et al. 2020; Shazeer 2020 for the gated feed-forward layer of 1.1).

The encoder-decoder Transformer with RMSNorm before each sub-block, no biases, learned scores for
relative positions shared by all layers of a stack instead of positions, and attention scores that are
not scaled (the initialisation is, section 2.1). 1.0 ties its output to the embedding and multiplies by
D ** -0.5; 1.1 does neither. Dropout stands on embeddings, residual branches, attention and final
hidden states; the published code has one more, inside the feed-forward layer.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported, UserError
from trivium.nn.attention.dot_product import (
    Bias,
    attend,
    attention_probabilities,
    cross_attend,
    cross_attention_probabilities,
)
from trivium.nn.attention.layout import Layout, causal_layout, plain_layout
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation, FeedForward, GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.linear import Linear
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.relative import RelativeBias
from trivium.nn.ragged import Ragged
from trivium.nn.state import KeyValueCache, Memory, State
from trivium.nn.weight_map import Fuse, Rename, WeightMap

FeedForwardKind = Literal["relu", "gated-gelu", "gated-silu"]

_ACTIVATIONS: dict[str, Activation] = {"relu": "relu", "gated-gelu": "gelu_tanh", "gated-silu": "silu"}


@dataclass(frozen=True, kw_only=True)
class T5Config:
    """Shape of a T5; the defaults are those of the 1.0 model of 60M parameters."""

    vocabulary_size: int = 32128
    """Number of pieces V."""
    width: int = 512
    """Width D of the residual stream."""
    layers: int = 6
    """Blocks of the encoder."""
    decoder_layers: int | None = None
    """Blocks of the decoder; as many as the encoder's where not given."""
    heads: int = 8
    """Attention heads H."""
    head_width: int = 64
    """Width K of a head; heads * head_width need not be the width."""
    inner_width: int = 2048
    """Width F of the feed-forward layer."""
    feedforward: FeedForwardKind = "relu"
    """Feed-forward layer: relu in 1.0, gated-gelu in 1.1."""
    buckets: int = 32
    """Buckets of relative distance."""
    furthest_tokens: int = 128
    """Distance from which on all share one bucket."""
    dropout: float = 0.1
    """Dropout, everywhere."""
    norm_epsilon: float = 1e-6
    """Added to the mean square in the norms."""
    tied: bool = True
    """Output weights are the embedding and logits are multiplied by D ** -0.5 (1.0); neither (1.1)."""
    start_id: int = 0
    """What the decoder is given first: the padding piece."""

    @property
    def context_tokens(self) -> None:
        """No limit: positions are relative."""
        return None

    @property
    def depth_of_decoder(self) -> int:
        """Blocks of the decoder."""
        return self.layers if self.decoder_layers is None else self.decoder_layers

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "T5Config":
        """From a ``config.json`` of ``model_type`` t5; ``Unsupported`` for what this file does not compute."""
        feedforward = config.get("feed_forward_proj", "relu")
        if feedforward not in _ACTIVATIONS:
            raise Unsupported("feed_forward_proj", received=feedforward, expected=", ".join(_ACTIVATIONS))
        # transformers 5 writes tie_word_embeddings: true into every file and keeps what 4 meant by it
        # under another name.
        tied = config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True))
        return cls(
            vocabulary_size=config.get("vocab_size", 32128),
            width=config.get("d_model", 512),
            layers=config.get("num_layers", 6),
            decoder_layers=config.get("num_decoder_layers"),
            heads=config.get("num_heads", 8),
            head_width=config.get("d_kv", 64),
            inner_width=config.get("d_ff", 2048),
            feedforward=feedforward,
            buckets=config.get("relative_attention_num_buckets", 32),
            furthest_tokens=config.get("relative_attention_max_distance", 128),
            dropout=config.get("dropout_rate", 0.1),
            norm_epsilon=config.get("layer_norm_epsilon", 1e-6),
            tied=tied,
            start_id=config.get("decoder_start_token_id", 0),
        )

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return {
            "model_type": "t5",
            "architectures": ["T5ForConditionalGeneration"],
            "is_encoder_decoder": True,
            "vocab_size": self.vocabulary_size,
            "d_model": self.width,
            "num_layers": self.layers,
            "num_decoder_layers": self.decoder_layers,
            "num_heads": self.heads,
            "d_kv": self.head_width,
            "d_ff": self.inner_width,
            "feed_forward_proj": self.feedforward,
            "relative_attention_num_buckets": self.buckets,
            "relative_attention_max_distance": self.furthest_tokens,
            "dropout_rate": self.dropout,
            "layer_norm_epsilon": self.norm_epsilon,
            "tie_word_embeddings": self.tied,
            "decoder_start_token_id": self.start_id,
        }


class Attention(nn.Module):
    """Self-attention with one fused projection for q, k and v; scores are not scaled."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.heads, self.head_width = config.heads, config.head_width
        inner = config.heads * config.head_width
        self.qkv = Linear(config.width, 3 * inner, bias=False)
        self.output = Linear(inner, config.width, bias=False)
        self.dropout = config.dropout

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        bias: Bias,
        cache: KeyValueCache | None,
        probabilities: list[Tensor] | None,
    ) -> Float[Tensor, "B T D"]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, self.head_width)).transpose(1, 3).unbind(2)
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout, scale=1.0, bias=bias))
        dropout = self.dropout if self.training else 0.0
        mixed = attend(q, k, v, layout, cache=cache, scale=1.0, bias=bias, dropout=dropout)
        return self.output(mixed.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Attention to the source, whose keys and values are made once."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.heads, self.head_width = config.heads, config.head_width
        inner = config.heads * config.head_width
        self.query = Linear(config.width, inner, bias=False)
        self.key_value = Linear(config.width, 2 * inner, bias=False)
        self.output = Linear(inner, config.width, bias=False)
        self.dropout = config.dropout

    def project(self, source: Float[Tensor, "B S D"]) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """Keys and values of every source position."""
        keys, values = self.key_value(source).unflatten(-1, (2, self.heads, self.head_width)).transpose(1, 3).unbind(2)
        return keys, values

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: tuple[Tensor, ...],
        source_lengths: Int[Tensor, "R"],
        ragged: Ragged | None,
        probabilities: list[Tensor] | None,
    ) -> Float[Tensor, "B T D"]:
        """With ``ragged`` the tokens are packed ``[1, N]`` and each looks at the source of its own row."""
        query = self.query(x)
        if ragged is not None:
            query = ragged.pad(query)
        q = query.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)
        if probabilities is not None:
            weights = cross_attention_probabilities(q, memory[0], source_lengths, scale=1.0).transpose(1, 2)
            probabilities.append((weights if ragged is None else ragged.pack(weights)).transpose(1, 2))
        dropout = self.dropout if self.training else 0.0
        mixed = cross_attend(q, *memory, source_lengths, scale=1.0, dropout=dropout).transpose(1, 2).flatten(2)
        return self.output(mixed if ragged is None else ragged.pack(mixed))


class Block(nn.Module):
    """x + attention(norm(x)), in the decoder x + cross_attention(norm(x)), then x + feedforward(norm(x))."""

    def __init__(self, config: T5Config, *, decoder: bool) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_epsilon)
        self.attention = Attention(config)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.cross_attention_norm = RMSNorm(config.width, config.norm_epsilon) if decoder else None
        self.cross_attention = CrossAttention(config) if decoder else None
        self.feedforward_norm = RMSNorm(config.width, config.norm_epsilon)
        kind = GatedFeedForward if config.feedforward.startswith("gated") else FeedForward
        self.feedforward = kind(config.width, config.inner_width, _ACTIVATIONS[config.feedforward], bias=False)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(config.dropout)

    def read_source(self, source: Float[Tensor, "B S D"]) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """A decoder block's keys and values of the source: its ``memory``. A block's parameters are used by methods
        of the block alone, which is where sharding gathers them."""
        assert self.cross_attention is not None, "an encoder block reads no other source"
        return self.cross_attention.project(source)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        bias: Bias,
        cache: KeyValueCache | None = None,
        memory: tuple[Tensor, ...] | None = None,
        source_lengths: Int[Tensor, "R"] | None = None,
        ragged: Ragged | None = None,
        probabilities: list[Tensor] | None = None,
        cross_probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(x), layout, bias, cache, probabilities)
        x = x + self.dropout(self.after_attention(mixed))
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            mixed = self.cross_attention(
                self.cross_attention_norm(x), memory, source_lengths, ragged, cross_probabilities
            )
            x = x + self.dropout(mixed)
        return x + self.dropout(self.after_feedforward(self.feedforward(self.feedforward_norm(x))))


class T5(nn.Module):
    """Encoder-decoder Transformer; ``blocks`` are the encoder's, then the decoder's."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.dropout = nn.Dropout(config.dropout)
        decoders = [False] * config.layers + [True] * config.depth_of_decoder
        self.blocks = nn.ModuleList(Block(config, decoder=decoder) for decoder in decoders)
        distances = (config.heads, config.buckets, config.furthest_tokens)
        self.encoder_bias = RelativeBias(*distances, bidirectional=True)
        self.decoder_bias = RelativeBias(*distances, bidirectional=False)
        self.encoder_norm = RMSNorm(config.width, config.norm_epsilon)
        self.decoder_norm = RMSNorm(config.width, config.norm_epsilon)
        self.head = OutputHead(
            config.width,
            config.vocabulary_size,
            tied_to=self.embedding if config.tied else None,
            scale=config.width**-0.5 if config.tied else 1.0,
        )
        self._initialise()

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, of source and target alike."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty decoder cache for ``rows`` targets of at most ``capacity`` tokens, without a source yet."""
        shape = (rows, self.config.heads, capacity, self.config.head_width)
        like = self.embedding.weight
        layers = [KeyValueCache.empty(*shape, like=like) for _ in range(self.config.depth_of_decoder)]
        return State(list(layers), torch.zeros(rows, dtype=torch.long, device=like.device))

    def encode(
        self,
        source: Int[Tensor, "B S"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        *,
        embeddings: Float[Tensor, "B S D"] | None = None,
        capacity: int = 0,
    ) -> State:
        """Reads the source: a state with every decoder layer's keys and values of it, and a cache for ``capacity``
        target tokens (none at 0: the whole target is then given at once, as in training)."""
        hidden = self.read(source, embeddings=embeddings, lengths=lengths).hidden
        rows, length, _ = hidden.shape
        if lengths is None:
            lengths = torch.full((rows,), length, device=hidden.device)
        decoder = self.blocks[self.config.layers :]
        memory = Memory(tuple(block.read_source(hidden) for block in decoder), lengths)
        layers = self.new_state(rows, capacity).layers if capacity else []
        return State(layers, torch.zeros_like(lengths), memory)

    def read(
        self,
        source: Int[Tensor, "B S"] | None = None,
        *,
        embeddings: Float[Tensor, "B S D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B S"] | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """The encoder alone: hidden states of the source, and what ``collect`` asks for."""
        x = embedded(self, source, embeddings)
        layout = plain_layout(x, causal=False, lengths=lengths, segments=segments)
        bias = self.encoder_bias.shared(layout)
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        x = self.dropout(x)
        for block in self.blocks[: self.config.layers]:
            if "hidden" in collected:
                collected["hidden"].append(x)
            x = block(x, layout, bias, probabilities=collected.get("attention"))
        if "hidden" in collected:
            collected["hidden"].append(x)
        return Output(self.dropout(self.encoder_norm(x)), collected=collected)

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
        """Hidden states of the target's ``tokens`` after a source (``state`` from ``encode``, or carried on), see
        the model contract in docs/architecture.md. ``collect`` is about the decoder; ``read`` shows the encoder.
        "cross_attention" is ``[B, H, T, S]``, over the source, with a cache as well as without."""
        if state is None or state.memory is None:
            raise UserError("an encoder-decoder needs its source", fix="state = model.encode(source, lengths)")
        x = embedded(self, tokens, embeddings)
        memory, layers = state.memory, state.layers
        ragged = None if segments is None else Ragged.of(segments, state.rows)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        bias = self.decoder_bias.shared(layout)
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        shown = collected.get("attention"), collected.get("cross_attention")
        x = self.dropout(x)
        for i, block in enumerate(self.blocks[self.config.layers :]):
            if "hidden" in collected:
                collected["hidden"].append(x)
            cache = layers[i] if layers else None
            x = block(x, layout, bias, cache, memory.tensors[i], memory.lengths, ragged, *shown)
        if "hidden" in collected:
            collected["hidden"].append(x)
        return Output(self.dropout(self.decoder_norm(x)), state, collected=collected)

    def _initialise(self) -> None:
        """Mesh TensorFlow's: fan-in everywhere, and 1 / sqrt(D K) for queries, which takes the place of the
        division of the scores by sqrt(K)."""
        config = self.config
        fan_in, inner = config.width**-0.5, config.heads * config.head_width
        nn.init.normal_(self.embedding.weight, std=1.0)
        if not config.tied:
            # Ours: at the embedding's scale (published) the logits of an untrained model have a variance of D.
            nn.init.normal_(self.head.weight, std=fan_in)
        for bias in (self.encoder_bias, self.decoder_bias):
            nn.init.normal_(bias.weight, std=fan_in)
        for block in self.blocks:
            projections = [(block.attention.qkv.weight[:inner], fan_in * config.head_width**-0.5)]
            projections += [(block.attention.qkv.weight[inner:], fan_in), (block.attention.output.weight, inner**-0.5)]
            if block.cross_attention is not None:
                projections.append((block.cross_attention.query.weight, fan_in * config.head_width**-0.5))
                projections.append((block.cross_attention.key_value.weight, fan_in))
                projections.append((block.cross_attention.output.weight, inner**-0.5))
            for name, weight in block.feedforward.named_parameters():
                projections.append((weight, config.inner_width**-0.5 if name.startswith("down") else fan_in))
            for weight, deviation in projections:
                with torch.no_grad():
                    weight.normal_(std=deviation)


SIZES = {
    "t5-small": T5Config(),
    "t5-base": T5Config(width=768, layers=12, heads=12, inner_width=3072),
    "t5-large": T5Config(width=1024, layers=24, heads=16, inner_width=4096),
    "t5-3b": T5Config(width=1024, layers=24, heads=32, head_width=128, inner_width=16384),
    "t5-11b": T5Config(width=1024, layers=24, heads=128, head_width=128, inner_width=65536),
    "t5-v1.1-small": T5Config(layers=8, heads=6, inner_width=1024, feedforward="gated-gelu", tied=False),
    "t5-v1.1-base": T5Config(width=768, layers=12, heads=12, inner_width=2048, feedforward="gated-gelu", tied=False),
}
"""Section 3.7 of the paper; 1.1 from its published configurations."""


def weight_map(config: T5Config) -> WeightMap:
    """Between our names and those of ``T5ForConditionalGeneration``: q, k, v are one matrix here, gate and up too."""
    entries: list[Rename | Fuse] = [Rename("embedding.weight", "shared.weight")]
    for stack, first, count in (("encoder", 0, config.layers), ("decoder", config.layers, config.depth_of_decoder)):
        table = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        entries.append(Rename(f"{stack}_bias.weight", table))
        entries.append(Rename(f"{stack}_norm.weight", f"{stack}.final_layer_norm.weight"))
        for i in range(count):
            entries += _block_entries(config, f"blocks.{first + i}", f"{stack}.block.{i}", decoder=stack == "decoder")
    ignored = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # copies of the shared one in old files
    if config.tied:
        return WeightMap(tuple(entries), 0, ("head.weight",), (*ignored, "lm_head.weight"))
    entries.append(Rename("head.weight", "lm_head.weight"))
    return WeightMap(tuple(entries), 0, (), ignored)


def _block_entries(config: T5Config, ours: str, theirs: str, *, decoder: bool) -> list[Rename | Fuse]:
    inner, feedforward = config.heads * config.head_width, config.inner_width
    own = f"{theirs}.layer.0.SelfAttention"
    entries: list[Rename | Fuse] = [
        Rename(f"{ours}.attention_norm.weight", f"{theirs}.layer.0.layer_norm.weight"),
        Fuse(f"{ours}.attention.qkv.weight", tuple(f"{own}.{name}.weight" for name in "qkv"), (inner, inner, inner)),
        Rename(f"{ours}.attention.output.weight", f"{own}.o.weight"),
    ]
    if decoder:
        cross, pair = f"{theirs}.layer.1.EncDecAttention", f"{ours}.cross_attention"
        entries += [
            Rename(f"{ours}.cross_attention_norm.weight", f"{theirs}.layer.1.layer_norm.weight"),
            Rename(f"{pair}.query.weight", f"{cross}.q.weight"),
            Fuse(f"{pair}.key_value.weight", (f"{cross}.k.weight", f"{cross}.v.weight"), (inner, inner)),
            Rename(f"{pair}.output.weight", f"{cross}.o.weight"),
        ]
    last = f"{theirs}.layer.{2 if decoder else 1}"
    entries.append(Rename(f"{ours}.feedforward_norm.weight", f"{last}.layer_norm.weight"))
    if config.feedforward.startswith("gated"):
        pair = (f"{last}.DenseReluDense.wi_0.weight", f"{last}.DenseReluDense.wi_1.weight")
        entries.append(Fuse(f"{ours}.feedforward.gate_up.weight", pair, (feedforward, feedforward)))
    else:
        entries.append(Rename(f"{ours}.feedforward.up.weight", f"{last}.DenseReluDense.wi.weight"))
    entries.append(Rename(f"{ours}.feedforward.down.weight", f"{last}.DenseReluDense.wo.weight"))
    return entries
