"""T5 1.0 and 1.1 (Raffel et al. 2020; Shazeer 2020 for the gated feed-forward layer of 1.1), and what has their form:
mT5 (Xue et al. 2021), FLAN-T5 (Chung et al. 2022), UL2 (Tay et al. 2022).

The encoder-decoder Transformer with RMSNorm before each sub-block, no biases, learned scores for
relative positions shared by all layers of a stack instead of positions, and attention scores that are
not scaled (the initialisation is, section 2.1). 1.0 ties its output to the embedding and multiplies by
D ** -0.5; 1.1 does neither. Dropout stands on embeddings, residual branches, attention, final hidden
states, and inside the feed-forward layer (section 2.1).

A head that says something of a text sits on the decoder, which reads the text once more, shifted right, so that it has
all of it at the last position; tags and bare vectors come from the encoder, and there is no decoder then.
"""

from collections.abc import Collection
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported, UserError
from trivium.models.t5_format import ACTIVATIONS, SIZES, T5Config, weight_map
from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Bias, Scoring
from trivium.nn.attention.layout import Layout, causal_layout
from trivium.nn.attention.source_attention import SourceAttention
from trivium.nn.classification_head import ClassificationHead, HiddenLayer
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import FeedForward, GatedFeedForward
from trivium.nn.head import OutputHead
from trivium.nn.linear import Linear
from trivium.nn.norms import RMSNorm
from trivium.nn.output import Output
from trivium.nn.positions.relative import RelativeBias
from trivium.nn.ragged import Ragged
from trivium.nn.span_head import SpanHead
from trivium.nn.state import KeyValueCache, Memory, State
from trivium.nn.tagging_head import TaggingHead
from trivium.nn.unpad import unpadded

__all__ = ["SIZES", "T5", "T5Config", "weight_map"]


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
        how = Scoring(scale=1.0, bias=bias, dropout=self.dropout if self.training else 0.0)
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout, how))
        mixed = attend(q, k, v, layout, how, cache=cache)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(norm(x)), in the decoder x + cross_attention(norm(x)), then x + feedforward(norm(x))."""

    def __init__(self, config: T5Config, *, decoder: bool) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_epsilon)
        self.attention = Attention(config)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.cross_attention_norm = RMSNorm(config.width, config.norm_epsilon) if decoder else None
        self.cross_attention = _source_attention(config) if decoder else None
        self.feedforward_norm = RMSNorm(config.width, config.norm_epsilon)
        kind = GatedFeedForward if config.feedforward.startswith("gated") else FeedForward
        activation = ACTIVATIONS[config.feedforward]
        self.feedforward = kind(config.width, config.inner_width, activation, bias=False, dropout=config.dropout)
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


def _source_attention(config: T5Config) -> SourceAttention:
    return SourceAttention(
        config.width, config.heads, head_width=config.head_width, bias=False, scale=1.0, dropout=config.dropout
    )


class T5(nn.Module):
    """Encoder-decoder Transformer; ``blocks`` are the encoder's, then the decoder's. Of ``head`` (the vocabulary),
    ``classify``, ``tag`` and ``span`` it has the one that ``config.head`` names."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.dropout = nn.Dropout(config.dropout)
        decoders = [False] * config.layers + [True] * config.depth_of_decoder
        self.blocks = nn.ModuleList(Block(config, decoder=decoder) for decoder in decoders)
        distances = (config.heads, config.buckets, config.furthest_tokens)
        self.encoder_bias = RelativeBias(*distances, bidirectional=True)
        self.encoder_norm = RMSNorm(config.width, config.norm_epsilon)
        self.decoder_bias = None if config.encoder_only else RelativeBias(*distances, bidirectional=False)
        self.decoder_norm = None if config.encoder_only else RMSNorm(config.width, config.norm_epsilon)
        self.head = self.classify = self.tag = self.span = None
        width, dropout = config.width, config.classifier_dropout
        if config.head == "language":
            tied_to, scale = (self.embedding, width**-0.5) if config.tied else (None, 1.0)
            self.head = OutputHead(width, config.vocabulary_size, tied_to=tied_to, scale=scale)
        elif config.head in ("classification", "regression"):
            hidden = HiddenLayer(width, dropout=dropout)
            self.classify = ClassificationHead(
                width, len(config.labels), pooling="last", transform=hidden, dropout=dropout
            )
        elif config.head == "tagging":
            self.tag = TaggingHead(width, len(config.labels), dropout=dropout)
        elif config.head == "span":
            self.span = SpanHead(width)
        self._initialise()

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, of source and target alike."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty decoder cache for ``rows`` targets of at most ``capacity`` tokens, without a source yet."""
        heads, like = self.config.heads, self.embedding.weight
        width = self.config.head_width
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
        if self.config.encoder_only:
            raise Unsupported("this T5 is an encoder alone", received=f"head {self.config.head!r}", fix="model(tokens)")
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
        """The encoder alone: hidden states of the source, and what ``collect`` asks for."""
        x = embedded(self, source, embeddings)
        rows = unpadded(x, lengths=lengths, segments=segments, collect=collect)
        bias = self.encoder_bias.shared(rows.layout)
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        x = self.dropout(rows.pack(x))
        for block in self.blocks[: self.config.layers]:
            if "hidden" in collected:
                collected["hidden"].append(rows.unpack(x))
            x = block(x, rows.layout, bias, probabilities=collected.get("attention"))
        if "hidden" in collected:
            collected["hidden"].append(rows.unpack(x))
        return Output(rows.unpack(self.dropout(self.encoder_norm(x))), collected=collected)

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
        "cross_attention" is ``[B, H, T, S]``, over the source, with a cache as well as without.

        With a head other than "language" ``tokens`` are the text itself, and there is no state: the encoder reads it,
        and then the decoder, if there is one, whose hidden state at a position has seen the tokens before it (and the
        encoder all of them). Texts end with an end token: at its position the decoder has read the rest.
        """
        if self.config.head == "language":
            if state is None or state.memory is None:
                raise UserError("an encoder-decoder needs its source", fix="state = model.encode(source, lengths)")
            return self._write(embedded(self, tokens, embeddings), lengths, segments, state, collect)
        if state is not None or (segments is not None and not self.config.encoder_only):
            raise Unsupported(
                "a T5 with this head reads whole texts, one a row",
                received=f"{'segments' if state is None else 'a state'} and head {self.config.head!r}",
                expected="tokens or embeddings, with lengths",
            )
        if self.config.encoder_only:
            return self.read(tokens, embeddings=embeddings, lengths=lengths, segments=segments, collect=collect)
        x = embedded(self, tokens, embeddings)
        start = self.embed(torch.full((x.shape[0], 1), self.config.start_id, device=x.device))
        shifted = torch.cat([start, x[:, :-1]], dim=1)
        output = self._write(shifted, lengths, None, self.encode(embeddings=x, lengths=lengths), collect)
        return replace(output, state=None)

    def _write(
        self,
        x: Float[Tensor, "B T D"],
        lengths: Int[Tensor, "B"] | None,
        segments: Int[Tensor, "B T"] | None,
        state: State,
        collect: Collection[str],
    ) -> Output:
        """The decoder over vectors ``x``."""
        assert self.decoder_bias is not None and self.decoder_norm is not None and state.memory is not None
        memory, layers = state.memory, state.layers
        # Whole targets of unequal length are packed as if they had been given so; with a cache rows go on in step, and
        # attention is looked at in rows.
        padded = bool(layers) or any("attention" in name for name in collect)
        rows = unpadded(x, lengths=None if padded else lengths, segments=segments)
        if rows.places is not None:
            packed = rows.pack(x)
            assert packed is not None and lengths is not None
            x, segments, lengths = packed, torch.repeat_interleave(lengths)[None], None
        ragged = None if segments is None else Ragged.of(segments, state.rows)
        layout, after = causal_layout(x, lengths=lengths, segments=segments, state=state)
        bias = self.decoder_bias.shared(layout)
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        shown = collected.get("attention"), collected.get("cross_attention")
        x = self.dropout(x)
        for i, block in enumerate(self.blocks[self.config.layers :]):
            if "hidden" in collected:
                collected["hidden"].append(rows.unpack(x))
            cache = layers[i] if layers else None
            x = block(x, layout, bias, cache, memory.tensors[i], memory.lengths, ragged, *shown)
        if "hidden" in collected:
            collected["hidden"].append(rows.unpack(x))
        return Output(rows.unpack(self.dropout(self.decoder_norm(x))), after, collected=collected)

    def _initialise(self) -> None:
        """Mesh TensorFlow's: fan-in everywhere, and 1 / sqrt(D K) for queries, which takes the place of the
        division of the scores by sqrt(K)."""
        config = self.config
        fan_in, inner = config.width**-0.5, config.heads * config.head_width
        nn.init.normal_(self.embedding.weight, std=1.0)
        if self.head is not None and not config.tied:
            # Ours: at the embedding's scale (published) the logits of an untrained model have a variance of D.
            nn.init.normal_(self.head.weight, std=fan_in)
        for head in (self.classify, self.tag, self.span):
            for part in () if head is None else head.modules():
                if isinstance(part, nn.Linear):
                    nn.init.normal_(part.weight, std=fan_in)
                    nn.init.zeros_(part.bias)
        for bias in (self.encoder_bias, self.decoder_bias):
            if bias is not None:
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
