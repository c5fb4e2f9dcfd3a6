"""The encoder-decoder with global attention (Luong, Pham and Manning 2015, "Effective Approaches to Attention-based
Neural Machine Translation").

A stack of LSTMs writes as in Sutskever et al. 2014, but its *present* state h_t looks at the encoder's states
(section 3.1), and the word is read out of the attentional state ~h_t = tanh(W_c [c_t; h_t]) (equation 5). With input
feeding ~h_t is also part of the decoder's next input (section 3.3): it knows what was aligned before, and time must be
gone through step by step. Without, the whole target goes through the fused kernel and looks at the source at once.

Ours: source and target share one vocabulary and one embedding; and the encoder may read in both directions, each of
half the width, so that its last states are still as wide as the decoder's first ones.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.models.own_format import read_config, same_names, write_config
from trivium.nn.attention.additive import AdditiveAttention
from trivium.nn.attention.multiplicative import MultiplicativeAttention
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.ragged import Ragged
from trivium.nn.recurrent import KERNEL_NAMES, RecurrentLayer, backwards, initialise_recurrent, read, unread
from trivium.nn.recurrent_decoder import First, begun, carried, read_target, ready, with_source
from trivium.nn.state import Memory, RecurrentState, State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class LuongConfig:
    """Shape of the encoder-decoder; the defaults are those of section 4.1."""

    vocabulary_size: int = 50000
    """Number of pieces V, of source and target together."""
    embedding_width: int = 1000
    """Width of the embedding."""
    width: int = 1000
    """Width D of every layer."""
    layers: int = 4
    """LSTM layers of the encoder, and as many of the decoder."""
    direction: Literal["forward", "backward", "both"] = "backward"
    """How the source is read: from its last word to its first as published, or in both directions of half the width."""
    score: Literal["dot", "general", "concat"] = "general"
    """How well a source position suits the present state (section 3.1)."""
    input_feeding: bool = True
    """The attentional state is part of the next input."""
    dropout: float = 0.0
    """Dropout on embeddings, between layers and before the vocabulary."""
    tied: bool = False
    """Output weights are the embedding, which is then as wide as the layers."""
    start_id: int = 0
    """What the decoder is given first."""

    def __post_init__(self) -> None:
        if self.tied and self.embedding_width != self.width:
            raise ConfigError(
                "a tied embedding is as wide as the layers",
                received=f"embedding_width {self.embedding_width}, width {self.width}",
                fix=f"set embedding_width to {self.width}, or tied to false",
            )
        if self.direction == "both" and self.width % 2:
            raise ConfigError("two directions share the width", received=self.width, expected="an even number")

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "LuongConfig":
        """From a ``config.json`` of ``model_type`` trivium-luong; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-luong", "Luong")


@dataclass(frozen=True)
class Source:
    """What the decoder looks at, and where it begins."""

    annotations: Float[Tensor, "B S D"]
    keys: Float[Tensor, "B S _"]
    visible: Bool[Tensor, "B S"]
    first: First

    @classmethod
    def of(cls, memory: Memory) -> "Source":
        """From what ``encode`` kept."""
        (annotations, keys), *first = memory.tensors
        places = torch.arange(keys.shape[1], device=keys.device)
        return cls(annotations, keys, places < memory.lengths[:, None], first)


class Looking(nn.Module):
    """~h_t = tanh(W_c [c_t; h_t]), c_t the source as h_t looks at it (equations 5 to 8)."""

    def __init__(self, config: LuongConfig) -> None:
        super().__init__()
        width = config.width
        if config.score == "concat":
            self.attention = AdditiveAttention(width, width, width)
        else:
            self.attention = MultiplicativeAttention(width, width, general=config.score == "general")
        self.combine = Linear(2 * width, width, bias=False)
        nn.init.xavier_uniform_(self.combine.weight)

    def forward(self, h: Float[Tensor, "B T D"], source: Source) -> tuple[Float[Tensor, "B T D"], Tensor]:
        """The attentional states, and the weights ``[B, T, S]`` that they were made with."""
        context, weights = self.attention(h, source.annotations, source.keys, source.visible)
        return torch.tanh(self.combine(torch.cat([context, h], dim=-1))), weights


class Decoder(nn.Module):
    """Without input feeding: what the stack gives does not depend on where it looked, so it is made at once."""

    def __init__(self, config: LuongConfig) -> None:
        super().__init__()
        widths = [config.embedding_width, *[config.width] * (config.layers - 1)]
        self.layers = nn.ModuleList(RecurrentLayer(width, config.width, "lstm") for width in widths)
        self.looking = Looking(config)
        self.dropout = nn.Dropout(config.dropout)

    def read_source(self, annotations: Float[Tensor, "B S D"], first: First) -> tuple[tuple[Tensor, ...], ...]:
        """What is kept of a source: its annotations with their keys, and each layer's first state."""
        return (annotations, self.looking.attention.project(annotations)), *first

    def forward(
        self, x: Float[Tensor, "B T E"], state: State, lengths: Int[Tensor, "B"] | None
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T S"], State]:
        """Attentional states, the attention weights, and the state after each row's last token."""
        source = Source.of(with_source(state)[1])
        dropouts = [self.dropout] * len(self.layers)
        rows = {"lengths": lengths, "segments": None, "state": state}
        outputs, state = read_target(self.layers, x, dropouts, source.first, **rows)
        return *self.looking(outputs[-1], source), state


class FeedingDecoder(nn.Module):
    """With input feeding: h_t comes from [E y_{t-1}; ~h_{t-1}]. The loop over time is the architecture's."""

    def __init__(self, config: LuongConfig) -> None:
        super().__init__()
        widths = [config.embedding_width + config.width, *[config.width] * (config.layers - 1)]
        cells = [nn.LSTMCell(width, config.width) for width in widths]
        for cell in cells:
            initialise_recurrent(cell, "lstm")
        self.layers = nn.ModuleList(cells)
        self.looking = Looking(config)
        self.dropout = nn.Dropout(config.dropout)

    def read_source(self, annotations: Float[Tensor, "B S D"], first: First) -> tuple[tuple[Tensor, ...], ...]:
        """What is kept of a source: its annotations with their keys, each layer's first state, and ~h_0 = 0."""
        keys = self.looking.attention.project(annotations)
        return (annotations, keys), *first, (torch.zeros_like(first[-1][0]),)

    def forward(
        self, x: Float[Tensor, "B T E"], state: State, lengths: Int[Tensor, "B"] | None
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T S"], State]:
        """As the other decoder."""
        source = Source.of(with_source(state)[1])
        *now, fed = [layer.tensors for layer in begun(state, source.first)]
        counted = lengths if state.layers else None  # where nothing is carried on, what stands beyond a row is garbage
        states, weights = [], []
        for t in range(x.shape[1]):
            given, after = torch.cat([self.dropout(x[:, t]), fed[0]], dim=-1), []
            for i, cell in enumerate(self.layers):
                after.append(cell(given if i == 0 else self.dropout(given), now[i]))
                given = after[-1][0]
            looked, alpha = self.looking(given[:, None], source)
            after.append((looked[:, 0],))
            states.append(looked)
            weights.append(alpha)
            if counted is not None:  # a row that has ended keeps its state
                going = (t < counted)[:, None]
                after = [
                    tuple(torch.where(going, new, old) for new, old in zip(*pair, strict=True))
                    for pair in zip(after, [*now, fed], strict=True)
                ]
            *now, fed = after
        appended = x.shape[1] if lengths is None else lengths
        state = carried(state, [RecurrentState(tensors) for tensors in [*now, fed]], appended)
        return torch.cat(states, 1), torch.cat(weights, 1), state


class Luong(nn.Module):
    """Recurrent encoder-decoder; ``blocks`` are the encoder's layers, then the decoder."""

    def __init__(self, config: LuongConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_width)
        self.dropout = nn.Dropout(config.dropout)
        both = config.direction == "both"
        widths = [config.embedding_width, *[config.width] * (config.layers - 1)]
        each = config.width // 2 if both else config.width
        encoder = [RecurrentLayer(width, each, "lstm", bidirectional=both) for width in widths]
        self.blocks = nn.ModuleList([*encoder, (FeedingDecoder if config.input_feeding else Decoder)(config)])
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, bias=True)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)  # at 1,000 near the published U(-0.1, 0.1)

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
        """Reads the source, which is given as it is whatever the direction. At a ``capacity`` of 0 the state carries
        nothing on: the whole target is then given at once."""
        x = embedded(self, source, embeddings)
        rows, length, _ = x.shape
        backward = self.config.direction == "backward"
        places = backwards(rows, length, x.device, lengths=lengths, segments=None)[..., None]
        if backward:
            x = torch.take_along_dim(x, places, dim=1)
        encoder, dropouts = self.blocks[: self.config.layers], [self.dropout] * self.config.layers
        outputs, final = read(encoder, x, dropouts, lengths=lengths, segments=None, state=unread(encoder, rows))
        assert final is not None
        annotations = torch.take_along_dim(outputs[-1], places, dim=1) if backward else outputs[-1]
        memory = self.blocks[-1].read_source(annotations, [layer.tensors for layer in final.layers])
        return ready(Memory(memory, final.lengths), memory[1:], capacity)

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
        """Attentional states of the target's ``tokens`` after a source (``state`` from ``encode``, or carried on).

        "attention" and "cross_attention" are ``[B, 1, T, S]``, over the source: there is no other.
        """
        state, _ = with_source(state)
        x = embedded(self, tokens, embeddings)
        ragged = None if segments is None else Ragged.of(segments, state.rows)
        if ragged is not None:
            x, lengths = ragged.pad(x), ragged.lengths
        hidden, weights, state = self.blocks[-1](x, state, lengths)
        alignment = [weights[:, None]]
        seen = {"hidden": [x, hidden], "attention": alignment, "cross_attention": alignment}
        collected = {name: seen[name] for name in collect}
        hidden = self.dropout(hidden)
        return Output(hidden if ragged is None else ragged.pack(hidden), state, collected=collected)


SIZES = {"luong": LuongConfig()}
"""Section 4.1."""


def weight_map(config: LuongConfig) -> WeightMap:
    """Our names are the file's."""
    sides = ("", "_reverse") if config.direction == "both" else ("",)
    names = ["embedding.weight", "head.bias", *["head.weight"] * (not config.tied)]
    names += [f"blocks.{i}.{name}{side}" for i in range(config.layers) for side in sides for name in KERNEL_NAMES]
    decoder = f"blocks.{config.layers}"
    kernel = ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if config.input_feeding else KERNEL_NAMES
    names += [f"{decoder}.layers.{i}.{name}" for i in range(config.layers) for name in kernel]
    linears = {"dot": (), "general": ("key",), "concat": ("query", "key", "score")}[config.score]
    names += [f"{decoder}.looking.attention.{linear}.weight" for linear in linears]
    return same_names([*names, f"{decoder}.looking.combine.weight"], tied=("head.weight",) if config.tied else ())
