"""The RNN encoder-decoder (Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder for
Statistical Machine Translation").

A GRU reads the source into one vector c, and another writes the target from it: c is part of the input at every step
and of what every word is read out of (appendix A). Ours: source and target share one vocabulary and one embedding; c
joins the input of the decoder's GRU, so that, as in Bahdanau et al. 2015, no reset gate stands before it; and the
encoder's reset gate stands after the matrix product, as in all fused kernels.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.own_format import read_config, same_names, write_config
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.recurrent import KERNEL_NAMES, RecurrentLayer, collected, runs_of
from trivium.nn.recurrent_decoder import First, read_target, ready, refuse_attention, with_source
from trivium.nn.state import Memory, State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class ChoConfig:
    """Shape of the encoder-decoder; the defaults are those of section 4.1."""

    vocabulary_size: int = 15000
    """Number of pieces V, of source and target together."""
    embedding_width: int = 100
    """Width of the embedding."""
    width: int = 1000
    """Width D of encoder, context and decoder."""
    readout_width: int = 500
    """Maxout units that a word is read out of, each the larger of two."""
    dropout: float = 0.0
    """Dropout on embeddings and before the vocabulary."""
    start_id: int = 0
    """What the decoder is given first."""

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "ChoConfig":
        """From a ``config.json`` of ``model_type`` trivium-cho; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-cho", "Cho")


class ContextDecoder(nn.Module):
    """h_t = GRU([E y_{t-1}; c], h_{t-1}), s_t = maxout(O_h h_t + O_y E y_{t-1} + O_c c)."""

    def __init__(self, config: ChoConfig) -> None:
        super().__init__()
        given = config.embedding_width + config.width
        self.context = Linear(config.width, config.width)
        self.start = Linear(config.width, config.width)
        self.layers = nn.ModuleList([RecurrentLayer(given, config.width, "gru")])
        self.readout = Linear(config.width + given, 2 * config.readout_width)
        self.undropped = nn.Identity()
        for linear in (self.context, self.start, self.readout):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def read_source(self, last: Float[Tensor, "B D"]) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
        """c = tanh(V h) of the encoder's last state h, and the decoder's first state tanh(V' c)."""
        context = torch.tanh(self.context(last))
        return context, torch.tanh(self.start(context))

    def forward(
        self,
        x: Float[Tensor, "B T E"],
        contexts: Float[Tensor, "B T D"],
        first: First,
        lengths: Int[Tensor, "R"] | None,
        segments: Int[Tensor, "B T"] | None,
        state: State,
    ) -> tuple[Float[Tensor, "B T O"], State]:
        """Readouts s_t, and the state after; ``contexts`` are those of each token's own row."""
        given = torch.cat([x, contexts], dim=-1)
        rows = {"lengths": lengths, "segments": segments, "state": state}
        (hidden,), state = read_target(self.layers, given, [self.undropped], first, **rows)
        deep = self.readout(torch.cat([hidden, given], dim=-1))
        return deep.unflatten(-1, (-1, 2)).amax(-1), state


class Cho(nn.Module):
    """Recurrent encoder-decoder; ``blocks`` are the encoder and the decoder."""

    def __init__(self, config: ChoConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_width)
        self.dropout = nn.Dropout(config.dropout)
        encoder = RecurrentLayer(config.embedding_width, config.width, "gru")
        self.blocks = nn.ModuleList([encoder, ContextDecoder(config)])
        self.head = OutputHead(config.readout_width, config.vocabulary_size, bias=True)
        nn.init.normal_(self.embedding.weight, std=config.embedding_width**-0.5)
        nn.init.normal_(self.head.weight, std=config.readout_width**-0.5)

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
        """Reads the source into its context. At a ``capacity`` of 0 the state carries nothing on: the whole target is
        then given at once."""
        x = embedded(self, source, embeddings)
        rows, length, _ = x.shape
        runs = runs_of(rows, length, x.device, lengths=lengths, segments=None, stateful=False)
        encoder, decoder = self.blocks
        _, final = encoder(self.dropout(x), runs)
        context, start = decoder.read_source(final.tensors[0])
        if lengths is None:
            lengths = torch.full((rows,), length, device=x.device)
        return ready(Memory(((context, start),), lengths), [(start,)], capacity)

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
        """Readouts of the target's ``tokens`` after a source (``state`` from ``encode``, or carried on)."""
        refuse_attention(collect)
        state, memory = with_source(state)
        ((context, start),) = memory.tensors
        x = self.dropout(embedded(self, tokens, embeddings))
        contexts = context[:, None].expand(-1, x.shape[1], -1) if segments is None else context[segments]
        hidden, state = self.blocks[-1](x, contexts, [(start,)], lengths, segments, state)
        return Output(self.dropout(hidden), state, collected=collected(collect, [x, hidden]))


SIZES = {"cho": ChoConfig()}
"""Section 4.1."""


def weight_map(config: ChoConfig) -> WeightMap:
    """Our names are the file's."""
    names = ["embedding.weight", "head.weight", "head.bias"]
    names += [f"{layer}.{name}" for layer in ("blocks.0", "blocks.1.layers.0") for name in KERNEL_NAMES]
    linears = ("context", "start", "readout")
    return same_names([*names, *(f"blocks.1.{name}.{kind}" for name in linears for kind in ("weight", "bias"))])
