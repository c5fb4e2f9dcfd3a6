"""BART (Lewis et al. 2020, "Denoising Sequence-to-Sequence Pre-training").

The encoder-decoder of Vaswani et al. (2017) with learned positions, a norm on the embeddings of each stack, GELU, and
one matrix for both embeddings and the output. Section 3 fine-tunes it: to classify a text, both stacks read it (the
decoder shifted by one) and the hidden state of the decoder at the end of the text is the text's (section 3.1); to find
an answer in it, every position of the decoder is judged. A network with such a head is called without a state.

The published checkpoints carry a bias at the output that the paper does not speak of; it is trained here.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported, UserError
from trivium.models import bart_format
from trivium.models.encoder_decoder_format import block_entries
from trivium.models.head_format import check_head
from trivium.nn.attention.layout import causal_layout
from trivium.nn.classification_head import ClassificationHead, HiddenLayer
from trivium.nn.embedded import embedded
from trivium.nn.encoder_decoder_block import EncoderDecoderBlock
from trivium.nn.feedforward import Activation
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_
from trivium.nn.output import Output
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.ragged import Ragged
from trivium.nn.span_head import SpanHead
from trivium.nn.state import Memory, State
from trivium.nn.unpad import unpadded
from trivium.nn.weight_map import Entry, Rename, Row, WeightMap

BartHead = Literal["language", "classification", "regression", "span", "none"]

_UNUSED_POSITIONS = 2  # rows at the start of the published tables that belong to no position


@dataclass(frozen=True, kw_only=True)
class BartConfig:
    """Shape of a BART; the defaults are the base model's."""

    vocabulary_size: int = 50265
    """Number of pieces V, of source and target."""
    width: int = 768
    """Width D of the residual stream."""
    layers: int = 6
    """Blocks of the encoder."""
    decoder_layers: int | None = None
    """Blocks of the decoder; as many as the encoder's where not given."""
    heads: int = 12
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int = 3072
    """Width F of the feed-forward layer."""
    activation: Activation = "gelu"
    """Non-linearity of the feed-forward layer."""
    context_tokens: int = 1024
    """Longest text, the size of the position tables."""
    dropout: float = 0.1
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.1
    """Dropout on attention probabilities."""
    inner_dropout: float = 0.1
    """Dropout inside the feed-forward layer."""
    head_dropout: float = 0.0
    """Dropout before each of the two layers that classify a text."""
    scale_embedding: bool = False
    """Multiply embeddings by sqrt(D)."""
    start_id: int = 2
    """What the decoder is given first: the id that ends a text."""
    end_id: int = 2
    """The id that ends a text."""
    pad_id: int = 1
    """The id that ``transformers`` pads with; nothing here depends on it."""
    head: BartHead = "language"
    """What the network says: tokens; a class of the text or numbers for it; where an answer stands; nothing."""
    labels: tuple[str, ...] = ()
    """Names of the outputs of a head that classifies or estimates."""

    def __post_init__(self) -> None:
        check_head(self.head, self.labels)
        if self.width % self.heads:
            raise ConfigError(
                "the heads do not divide the width",
                received=f"width {self.width}, heads {self.heads}",
                fix=f"choose a width that is a multiple of {self.heads}",
            )

    @property
    def depth_of_decoder(self) -> int:
        """Blocks of the decoder."""
        return self.layers if self.decoder_layers is None else self.decoder_layers

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "BartConfig":
        """From a ``config.json`` of ``model_type`` bart; ``Unsupported`` for what this file does not compute."""
        return cls(**bart_format.read(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return bart_format.write(self)


class Bart(nn.Module):
    """Encoder-decoder Transformer; ``blocks`` are the encoder's, then the decoder's.

    Of ``head``, ``classify`` and ``span`` the one that the configuration names is there, the others are None.
    ``classify`` takes the last token of each row, which is the one that ends the text.
    """

    def __init__(self, config: BartConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embedding = nn.Embedding(config.vocabulary_size, width)
        self.scale = math.sqrt(width) if config.scale_embedding else 1.0
        self.encoder_positions = LearnedPositions(config.context_tokens, width, _UNUSED_POSITIONS)
        self.decoder_positions = LearnedPositions(config.context_tokens, width, _UNUSED_POSITIONS)
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        decoders = [False] * config.layers + [True] * config.depth_of_decoder
        self.blocks = nn.ModuleList(_block(config, decoder=decoder) for decoder in decoders)
        language = config.head == "language"
        self.head = OutputHead(width, config.vocabulary_size, tied_to=self.embedding, bias=True) if language else None
        self.classify = _classifier(config) if config.head in ("classification", "regression") else None
        self.span = SpanHead(width) if config.head == "span" else None
        self.apply(normal_)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, of source and target alike, before positions are added."""
        return self.embedding(tokens) * self.scale

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
        x = embedded(self, source, embeddings)
        rows = unpadded(x, lengths=lengths, segments=segments, collect=collect)
        x = self.dropout(self.encoder_norm(rows.pack(x) + self.encoder_positions(rows.layout.positions)))
        return rows.through(self.blocks[: self.config.layers], x, collect)

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

        A network that does not write is given the text alone, without a state: both stacks read it.
        "cross_attention" is ``[B, H, T, S]``, over the source, with a cache as well; "attention" is the decoder's to
        itself and is shown for whole targets only: with a cache it raises ``Unsupported``.
        """
        x = embedded(self, tokens, embeddings)
        if state is None and self.head is None:
            return self._read_by_both(x, lengths, segments, collect)
        return self._decode(x, lengths, segments, state, collect)

    def _read_by_both(
        self, x: Tensor, lengths: Tensor | None, segments: Tensor | None, collect: Collection[str]
    ) -> Output:
        """The text as the source, and again as the target, moved on by one behind ``start_id``."""
        if segments is not None:
            raise Unsupported("a text that both stacks read comes in a row of its own", received="segments")
        state = self.encode(embeddings=x, lengths=lengths)
        start = self.embed(torch.full((x.shape[0], 1), self.config.start_id, device=x.device))
        return self._decode(torch.cat([start, x[:, :-1]], dim=1), lengths, None, state, collect)

    def _decode(
        self,
        x: Tensor,
        lengths: Tensor | None,
        segments: Tensor | None,
        state: State | None,
        collect: Collection[str],
    ) -> Output:
        if state is None or state.memory is None:
            raise UserError("an encoder-decoder needs its source", fix="state = model.encode(source, lengths)")
        memory, layers = state.memory, state.layers
        if layers and "attention" in collect:
            raise Unsupported(
                "the decoder's attention to itself is shown for whole targets",
                received='collect="attention" and a state with a cache',
                fix="encode with capacity=0 and give all tokens at once, or collect cross_attention",
            )
        ragged = None if segments is None else Ragged.of(segments, state.rows)
        layout, state = causal_layout(x, lengths=lengths, segments=segments, state=state)
        x = self.dropout(self.decoder_norm(x + self.decoder_positions(layout.positions)))
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        shown = (collected.get("attention"), collected.get("cross_attention"))
        for i, block in enumerate(self.blocks[self.config.layers :]):
            if "hidden" in collected:
                collected["hidden"].append(x)
            x = block(x, layout, layers[i] if layers else None, memory.tensors[i], memory.lengths, ragged, *shown)
        if "hidden" in collected:
            collected["hidden"].append(x)
        return Output(x, state, collected=collected)


def _block(config: BartConfig, *, decoder: bool) -> EncoderDecoderBlock:
    return EncoderDecoderBlock(
        config.width,
        config.heads,
        config.inner_width,
        config.activation,
        decoder=decoder,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        inner_dropout=config.inner_dropout,
    )


def _classifier(config: BartConfig) -> ClassificationHead:
    transform = HiddenLayer(config.width, dropout=config.head_dropout)
    return ClassificationHead(
        config.width, len(config.labels), pooling="last", transform=transform, dropout=config.head_dropout
    )


SIZES = {
    "bart-base": BartConfig(),
    "bart-large": BartConfig(width=1024, layers=12, heads=16, inner_width=4096),
}
"""Section 4 of the paper, and the published base model."""


def weight_map(config: BartConfig) -> WeightMap:
    """Between our names and those of ``BartForConditionalGeneration`` and its sisters: q, k and v are one matrix here.
    A bare body is saved without the ``model.`` that the others put before its names."""
    body, kinds = "" if config.head == "none" else "model.", ("weight", "bias")
    entries: list[Entry] = [Rename("embedding.weight", f"{body}shared.weight")]
    for stack, first, count in (("encoder", 0, config.layers), ("decoder", config.layers, config.depth_of_decoder)):
        theirs = f"{body}{stack}"
        entries.append(Rename(f"{stack}_positions.weight", f"{theirs}.embed_positions.weight"))
        entries += [Rename(f"{stack}_norm.{kind}", f"{theirs}.layernorm_embedding.{kind}") for kind in kinds]
        for i in range(count):
            decoder = stack == "decoder"
            entries += block_entries(config.width, f"blocks.{first + i}", f"{theirs}.layers.{i}", decoder=decoder)
    # Copies of the shared embedding, and version marks, in old files.
    ignored = [
        f"{body}{stack}.{name}" for stack in ("encoder", "decoder") for name in ("embed_tokens.weight", "version")
    ]
    if config.head == "language":
        entries.append(Row("head.bias", "final_logits_bias"))
        return WeightMap(tuple(entries), 0, ("head.weight",), (*ignored, "lm_head.weight"))
    modules: list[tuple[str, str]] = []
    if config.head in ("classification", "regression"):
        modules += [("classify.transform.linear", "classification_head.dense")]
        modules += [("classify.output", "classification_head.out_proj")]
    elif config.head == "span":
        modules += [("span.output", "qa_outputs")]
    entries += [Rename(f"{ours}.{kind}", f"{theirs}.{kind}") for ours, theirs in modules for kind in kinds]
    return WeightMap(tuple(entries), 0, (), tuple(ignored))
