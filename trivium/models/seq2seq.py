"""The attention encoder-decoder (Bahdanau, Cho and Bengio 2015, "Jointly Learning to Align and Translate").

A bidirectional recurrent encoder annotates every source position; before each target token the decoder
looks at the annotations through additive attention with its *previous* state, and then steps. The
equations are those of appendix A.1 and A.2, but for three choices of ours: source and target share one
vocabulary and one embedding, as with joint subwords; the cell may be an LSTM; and the word is read out
of the decoder's new state s_i (as section 3.1 has it) rather than of s_{i-1} (as A.2.2 has it).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.models.own_format import read_config, same_names, write_config
from trivium.nn.attention.additive import AdditiveAttention
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.ragged import Ragged
from trivium.nn.recurrent import RecurrentLayer, initialise_recurrent, runs_of
from trivium.nn.recurrent_decoder import begun, carried, ready, with_source
from trivium.nn.state import Memory, RecurrentState, State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class Seq2SeqConfig:
    """Shape of the encoder-decoder; the defaults are RNNsearch's."""

    vocabulary_size: int = 30000
    """Number of pieces V, of source and target together."""
    embedding_width: int = 620
    """Width of the embedding and of the layer the word is read out of."""
    width: int = 1000
    """Width D of the decoder's state and of each direction of the encoder."""
    layers: int = 1
    """Bidirectional layers of the encoder; the decoder has one."""
    attention_width: int = 1000
    """Width of the network that scores a source position."""
    cell: Literal["gru", "lstm"] = "gru"
    """The recurrence; the paper's gated unit is the GRU."""
    dropout: float = 0.0
    """Dropout on embeddings, between encoder layers and before the vocabulary."""
    tied: bool = False
    """Output weights are the embedding."""
    start_id: int = 0
    """What the decoder is given first."""

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Seq2SeqConfig":
        """From a ``config.json`` of ``model_type`` trivium-seq2seq; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-seq2seq", "Seq2Seq")


class AttentionDecoder(nn.Module):
    """c_i = attention(s_{i-1}), s_i = cell([E y_{i-1}; c_i], s_{i-1}), t_i = maxout(U s_i + V E y_{i-1} + C c_i)."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        embedded, width, annotated = config.embedding_width, config.width, 2 * config.width
        self.lstm = config.cell == "lstm"
        self.bridge = Linear(width, 2 * width if self.lstm else width)
        self.attention = AdditiveAttention(width, annotated, config.attention_width)
        self.cell = (nn.LSTMCell if self.lstm else nn.GRUCell)(embedded + annotated, width)
        self.readout = Linear(width + embedded + annotated, 2 * embedded)
        initialise_recurrent(self.cell, config.cell)
        for linear in (self.bridge, self.readout):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def read_source(self, annotations: Float[Tensor, "B S M"], last: Float[Tensor, "B D"]) -> tuple[Tensor, ...]:
        """What is kept of a source: its annotations, their keys for the attention and s_0 = tanh(W h), where h
        (``last``) is what the backward encoder read last, at the source's first position (A.2.2)."""
        start = torch.tanh(self.bridge(last))
        first = start.chunk(2, dim=-1) if self.lstm else (start,)
        return annotations, self.attention.project(annotations), *first

    def forward(
        self,
        x: Float[Tensor, "B T E"],
        state: RecurrentState,
        annotations: Float[Tensor, "B S M"],
        keys: Float[Tensor, "B S A"],
        visible: Bool[Tensor, "B S"],
        lengths: Int[Tensor, "B"] | None,
    ) -> tuple[Float[Tensor, "B T E"], RecurrentState, Float[Tensor, "B T S"]]:
        """Readouts t_i, the state after each row's last token, and the attention weights.

        The loop over time is the architecture's: where to look depends on the state before.
        """
        now, outputs, contexts, weights = state.tensors, [], [], []
        for t in range(x.shape[1]):
            context, alpha = self.attention(now[0][:, None], annotations, keys, visible)
            after = self.cell(torch.cat([x[:, t], context[:, 0]], dim=-1), now if self.lstm else now[0])
            after = after if self.lstm else (after,)
            outputs.append(after[0])
            contexts.append(context)
            weights.append(alpha)
            if lengths is not None:  # a row that has ended keeps its state
                going = (t < lengths)[:, None]
                after = tuple(torch.where(going, new, old) for new, old in zip(after, now, strict=True))
            now = after
        deep = self.readout(torch.cat([torch.stack(outputs, 1), x, torch.cat(contexts, 1)], dim=-1))
        return deep.unflatten(-1, (-1, 2)).amax(-1), RecurrentState(now), torch.cat(weights, 1)


class Seq2Seq(nn.Module):
    """Recurrent encoder-decoder; ``blocks`` are the encoder's layers, then the decoder."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_width)
        self.dropout = nn.Dropout(config.dropout)
        widths = [config.embedding_width, *[2 * config.width] * (config.layers - 1)]
        encoder = [RecurrentLayer(width, config.width, config.cell, bidirectional=True) for width in widths]
        self.blocks = nn.ModuleList([*encoder, AttentionDecoder(config)])
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.embedding_width, config.vocabulary_size, tied_to=tied_to, bias=True)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.normal_(weight, std=config.embedding_width**-0.5)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Token vectors, of source and target alike."""
        return self.embedding(tokens)

    def encode(
        self,
        source: Int[Tensor, "B S"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        *,
        embeddings: Float[Tensor, "B S E"] | None = None,
        capacity: int = 0,
    ) -> State:
        """Reads the source. The state holds annotations, their keys and the decoder's first state. At a ``capacity`` of
        0 it carries nothing on: the whole target is then given at once."""
        x = embedded(self, source, embeddings)
        rows, length, _ = x.shape
        runs = runs_of(rows, length, x.device, lengths=lengths, segments=None, stateful=False)
        *encoder, decoder = self.blocks
        final = None
        for layer in encoder:
            x, final = layer(self.dropout(x), runs)
        assert final is not None
        backward = final.tensors[0].chunk(2, dim=-1)[1]
        source_memory = decoder.read_source(x, backward)
        if lengths is None:
            lengths = torch.full((rows,), length, device=x.device)
        return ready(Memory((source_memory,), lengths), [source_memory[2:]], capacity)

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T E"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """Readouts of the target's ``tokens`` after a source (``state`` from ``encode``, or carried on).

        "attention" and "cross_attention" are ``[B, 1, T, S]``, over the source: there is no other.
        """
        state, memory = with_source(state)
        x = embedded(self, tokens, embeddings)
        ragged = None if segments is None else Ragged.of(segments, state.rows)
        if ragged is not None:
            x, lengths = ragged.pad(x), ragged.lengths
        x = self.dropout(x)
        annotations, keys, *start = memory.tensors[0]
        visible = torch.arange(keys.shape[1], device=x.device) < memory.lengths[:, None]
        (before,) = begun(state, [tuple(start)])
        counted = lengths if state.layers else None  # where nothing is carried on, what stands beyond a row is garbage
        hidden, after, weights = self.blocks[-1](x, before, annotations, keys, visible, counted)
        new = carried(state, [after], x.shape[1] if lengths is None else lengths)
        alignment = [weights[:, None]]
        seen = {"hidden": [x, hidden], "attention": alignment, "cross_attention": alignment}
        collected = {name: seen[name] for name in collect}
        hidden = self.dropout(hidden)
        return Output(hidden if ragged is None else ragged.pack(hidden), new, collected=collected)


SIZES = {"rnnsearch": Seq2SeqConfig()}
"""Section 4.2 and appendix A of the paper."""


def weight_map(config: Seq2SeqConfig) -> WeightMap:
    """Our names are the file's."""
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    decoder = f"blocks.{config.layers}"
    names = ["embedding.weight", "head.bias"]
    for i in range(config.layers):
        names += [f"blocks.{i}.rnn.{kind}_l0{side}" for side in ("", "_reverse") for kind in kinds]
    names += [f"{decoder}.cell.{kind}" for kind in kinds]
    names += [f"{decoder}.{linear}.{kind}" for linear in ("bridge", "readout") for kind in ("weight", "bias")]
    names += [f"{decoder}.attention.{linear}.weight" for linear in ("query", "key", "score")]
    if config.tied:
        return same_names(names, tied=("head.weight",))
    return same_names([*names, "head.weight"])
