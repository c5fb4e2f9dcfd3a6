"""The Transformer (Vaswani et al. 2017, "Attention Is All You Need"), and Marian's models, which are it.

Encoder and decoder of self-attention and feed-forward layers, the decoder with attention to the source between them.
Each sub-layer is norm(x + dropout(sublayer(x))) (section 3.1: the norm after the sum), or with ``norm_first``
x + dropout(sublayer(norm(x))) and one more norm at the end of each stack (Xiong et al. 2020), which trains without
warm-up. Sinusoidal positions; one matrix for both embeddings and the output, multiplied by sqrt(D) where it embeds
(section 3.4). Dropout stands where section 5.4 puts it: on the sum of embeddings and positions, and on what each
sub-layer adds.

The paper does not speak of a bias at the output. Marian's models have one, so ours has; it is trained here.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported, UserError
from trivium.models import marian_format
from trivium.models.encoder_decoder_format import block_entries
from trivium.models.own_format import read_config, write_config
from trivium.nn.attention.layout import causal_layout
from trivium.nn.embedded import embedded
from trivium.nn.encoder_decoder_block import EncoderDecoderBlock
from trivium.nn.feedforward import Activation
from trivium.nn.head import OutputHead
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.positions.sinusoidal import SineLayout, SinusoidalPositions
from trivium.nn.ragged import Ragged
from trivium.nn.state import Memory, State
from trivium.nn.unpad import unpadded
from trivium.nn.weight_map import Entry, Rename, Row, WeightMap

_OWN_TYPE = "trivium-transformer"


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Shape of a Transformer; the defaults are those of the paper's base model for English and German."""

    vocabulary_size: int = 37000
    """Number of pieces V of the target, and of the source where they share a vocabulary."""
    source_vocabulary_size: int | None = None
    """Number of pieces of the source where it has a vocabulary of its own."""
    width: int = 512
    """Width D of the residual stream."""
    layers: int = 6
    """Blocks N of the encoder."""
    decoder_layers: int | None = None
    """Blocks of the decoder; as many as the encoder's where not given."""
    heads: int = 8
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int = 2048
    """Width F of the feed-forward layer."""
    activation: Activation = "relu"
    """Non-linearity of the feed-forward layer: relu in the paper, silu in most of Marian's models."""
    norm_first: bool = False
    """The norm before each sub-layer instead of after the sum."""
    positions: SineLayout = "halves"
    """Where the sines and cosines stand: "interleaved" is the paper's equation, "halves" what Marian's models have."""
    context_tokens: int = 1024
    """Longest text that ``transformers`` makes positions for; here they go on."""
    dropout: float = 0.1
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    scale_embedding: bool = True
    """Multiply embeddings by sqrt(D)."""
    sharing: Literal["all", "target", "none"] = "all"
    """Which of the three matrices are one: both embeddings and the output, target embedding and output, or none."""
    start_id: int = 0
    """What the decoder is given first."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                "the heads do not divide the width",
                received=f"width {self.width}, heads {self.heads}",
                fix=f"choose a width that is a multiple of {self.heads}",
            )
        if self.sharing == "all" and self.source_vocabulary_size is not None:
            raise ConfigError(
                "source and target have different vocabularies, and their embeddings cannot be shared",
                received=f"source_vocabulary_size {self.source_vocabulary_size}, sharing all",
                expected='sharing "target" or "none", or no source_vocabulary_size',
            )

    @property
    def depth_of_decoder(self) -> int:
        """Blocks of the decoder."""
        return self.layers if self.decoder_layers is None else self.decoder_layers

    @property
    def source_pieces(self) -> int:
        """Number of pieces of the source."""
        return self.vocabulary_size if self.source_vocabulary_size is None else self.source_vocabulary_size

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "TransformerConfig":
        """From a ``config.json`` of ``model_type`` marian or trivium-transformer; ``Unsupported`` for what this file
        does not compute."""
        if config.get("model_type") == _OWN_TYPE:
            return read_config(cls, config)
        return cls(**marian_format.read(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``: Marian's, which ``transformers`` opens, where Marian can say it, else our own."""
        if self.norm_first or self.positions != "halves":
            return write_config(self, _OWN_TYPE, "Transformer")
        return marian_format.write(self)


class Transformer(nn.Module):
    """Encoder-decoder Transformer; ``blocks`` are the encoder's, then the decoder's."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        own_source = config.sharing != "all"
        self.source_embedding = nn.Embedding(config.source_pieces, config.width) if own_source else None
        self.scale = math.sqrt(config.width) if config.scale_embedding else 1.0
        self.positions = SinusoidalPositions(config.width, config.positions)
        self.dropout = nn.Dropout(config.dropout)
        decoders = [False] * config.layers + [True] * config.depth_of_decoder
        self.blocks = nn.ModuleList(_block(config, decoder=decoder) for decoder in decoders)
        self.encoder_norm = nn.LayerNorm(config.width) if config.norm_first else nn.Identity()
        self.decoder_norm = nn.LayerNorm(config.width) if config.norm_first else nn.Identity()
        tied_to = None if config.sharing == "none" else self.embedding
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, bias=True)
        for table in (self.embedding, self.source_embedding, self.head):  # variance 1 / D, which the scale makes 1
            if table is not None:
                nn.init.normal_(table.weight, std=config.width**-0.5)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Vectors of target tokens, scaled, before positions are added."""
        return self.embedding(tokens) * self.scale

    def embed_source(self, tokens: Int[Tensor, "B S"]) -> Float[Tensor, "B S D"]:
        """Vectors of source tokens, likewise."""
        return (self.embedding if self.source_embedding is None else self.source_embedding)(tokens) * self.scale

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty decoder cache for ``rows`` targets of at most ``capacity`` tokens, without a source yet."""
        heads, like = self.config.heads, self.embedding.weight
        width = self.config.width // heads
        return State.of_caches(rows, heads, capacity, width, layers=self.config.depth_of_decoder, like=like)

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
        memory = Memory.of_source(self.blocks[self.config.layers :], hidden, lengths)
        layers = self.new_state(hidden.shape[0], capacity).layers if capacity else []
        return State(layers, torch.zeros_like(memory.lengths), memory)

    def read(
        self,
        source: Int[Tensor, "B S"] | None = None,
        *,
        embeddings: Float[Tensor, "B S D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B S"] | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """The encoder alone: hidden states of the source, and what ``collect`` asks for. Rows of unequal length are
        computed packed, without their padding."""
        x = embeddings if source is None else self.embed_source(source)
        assert x is not None and (source is None or embeddings is None), "give either a source or embeddings"
        rows = unpadded(x, lengths=lengths, segments=segments, collect=collect)
        x = self.dropout(rows.pack(x) + self.positions(rows.layout.positions, x.dtype))
        output = rows.through(self.blocks[: self.config.layers], x, collect)
        return Output(self.encoder_norm(output.hidden), collected=output.collected)

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

        "cross_attention" is ``[B, H, T, S]``, over the source, with a cache as well; "attention" is the decoder's to
        itself and is shown for whole targets only: with a cache it raises ``Unsupported``.
        """
        if state is None or state.memory is None:
            raise UserError("an encoder-decoder needs its source", fix="state = model.encode(source, lengths)")
        memory, layers = state.memory, state.layers
        if layers and "attention" in collect:
            raise Unsupported(
                "the decoder's attention to itself is shown for whole targets",
                received='collect="attention" and a state with a cache',
                fix="encode with capacity=0 and give all tokens at once, or collect cross_attention",
            )
        x = embedded(self, tokens, embeddings)
        ragged = None if segments is None else Ragged.of(segments, state.rows)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        x = self.dropout(x + self.positions(layout.positions, x.dtype))
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        shown = (collected.get("attention"), collected.get("cross_attention"))
        for i, block in enumerate(self.blocks[self.config.layers :]):
            if "hidden" in collected:
                collected["hidden"].append(x)
            x = block(x, layout, layers[i] if layers else None, memory.tensors[i], memory.lengths, ragged, *shown)
        if "hidden" in collected:
            collected["hidden"].append(x)
        return Output(self.decoder_norm(x), state, collected=collected)


def _block(config: TransformerConfig, *, decoder: bool) -> EncoderDecoderBlock:
    block = EncoderDecoderBlock(
        config.width,
        config.heads,
        config.inner_width,
        config.activation,
        decoder=decoder,
        norm_first=config.norm_first,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
    )
    _glorot(block.attention.qkv, parts=3)
    _glorot(block.attention.output, block.feedforward.up, block.feedforward.down)
    if block.cross_attention is not None:
        _glorot(block.cross_attention.key_value, parts=2)
        _glorot(block.cross_attention.query, block.cross_attention.output)
    return block


def _glorot(*linears: Linear, parts: int = 1) -> None:
    """Uniform by fan-in and fan-out (Glorot and Bengio 2010), each of the ``parts`` that are fused by itself."""
    for linear in linears:
        for part in linear.weight.chunk(parts):
            nn.init.xavier_uniform_(part)
        nn.init.zeros_(linear.bias)


SIZES = {
    "transformer-base": TransformerConfig(),
    "transformer-big": TransformerConfig(width=1024, heads=16, inner_width=4096, dropout=0.3),
}
"""Table 3 of the paper."""


def weight_map(config: TransformerConfig) -> WeightMap:
    """Between our names and those of ``MarianMTModel``: q, k and v are one matrix here. What Marian has not (the norms
    at the end of stacks with ``norm_first``) is called as in its relatives, MBart and Pegasus."""
    embedding = "model.shared" if config.sharing == "all" else "model.decoder.embed_tokens"
    entries: list[Entry] = [
        Rename("embedding.weight", f"{embedding}.weight"),
        Row("head.bias", "final_logits_bias"),
    ]
    for stack, first, count in (("encoder", 0, config.layers), ("decoder", config.layers, config.depth_of_decoder)):
        for i in range(count):
            ours, theirs = f"blocks.{first + i}", f"model.{stack}.layers.{i}"
            entries += block_entries(config.width, ours, theirs, decoder=stack == "decoder")
        if config.norm_first:
            entries += [Rename(f"{stack}_norm.{k}", f"model.{stack}.layer_norm.{k}") for k in ("weight", "bias")]
    ignored = [f"model.{stack}.embed_positions.weight" for stack in ("encoder", "decoder")]  # computed, in old files
    if config.sharing == "all":  # copies of the shared one in old files
        ignored += [f"model.{stack}.embed_tokens.weight" for stack in ("encoder", "decoder")]
    else:
        entries.append(Rename("source_embedding.weight", "model.encoder.embed_tokens.weight"))
    if config.sharing == "none":
        entries.append(Rename("head.weight", "lm_head.weight"))
        return WeightMap(tuple(entries), 0, (), tuple(ignored))
    return WeightMap(tuple(entries), 0, ("head.weight",), (*ignored, "lm_head.weight"))
