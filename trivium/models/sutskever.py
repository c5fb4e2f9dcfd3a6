"""The first deep sequence to sequence (Sutskever, Vinyals and Le 2014, "Sequence to Sequence Learning with Neural
Networks").

A stack of LSTMs reads the source from its last word to its first (section 3.3), and the states it ends in are where
another stack begins to write: all that is known of the source is one vector for each layer. Ours: source and target
share one vocabulary and one embedding, as with joint subwords.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.models.own_format import read_config, same_names, write_config
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.output import Output
from trivium.nn.recurrent import KERNEL_NAMES, RecurrentLayer, backwards, collected, read, unread
from trivium.nn.recurrent_decoder import read_target, ready, refuse_attention, with_source
from trivium.nn.state import Memory, State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class SutskeverConfig:
    """Shape of the encoder-decoder; the defaults are those of section 3.4."""

    vocabulary_size: int = 160000
    """Number of pieces V, of source and target together."""
    embedding_width: int = 1000
    """Width of the embedding."""
    width: int = 1000
    """Width D of every layer."""
    layers: int = 4
    """LSTM layers of the encoder, and as many of the decoder."""
    dropout: float = 0.0
    """Dropout on embeddings and on the output of every layer."""
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

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "SutskeverConfig":
        """From a ``config.json`` of ``model_type`` trivium-sutskever; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-sutskever", "Sutskever")


class Sutskever(nn.Module):
    """Recurrent encoder-decoder; ``blocks`` are the encoder's layers, then the decoder's."""

    def __init__(self, config: SutskeverConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_width)
        self.dropout = nn.Dropout(config.dropout)
        widths = [config.embedding_width, *[config.width] * (config.layers - 1)] * 2
        self.blocks = nn.ModuleList(RecurrentLayer(width, config.width, "lstm") for width in widths)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, bias=True)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)  # at 1,000 near the published U(-0.08, 0.08)

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
        """Reads the source, which is given as it is, from its end to its beginning. At a ``capacity`` of 0 the state
        carries nothing on: the whole target is then given at once."""
        x = embedded(self, source, embeddings)
        rows, length, _ = x.shape
        places = backwards(rows, length, x.device, lengths=lengths, segments=None)
        x = torch.take_along_dim(x, places[..., None], dim=1)
        encoder = self.blocks[: self.config.layers]
        dropouts = [self.dropout] * self.config.layers
        _, final = read(encoder, x, dropouts, lengths=lengths, segments=None, state=unread(encoder, rows))
        assert final is not None
        first = tuple(layer.tensors for layer in final.layers)
        return ready(Memory(first, final.lengths), first, capacity)

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
        """Hidden states of the target's ``tokens`` after a source (``state`` from ``encode``, or carried on)."""
        refuse_attention(collect)
        state, memory = with_source(state)
        x = embedded(self, tokens, embeddings)
        decoder, dropouts = self.blocks[self.config.layers :], [self.dropout] * self.config.layers
        rows = {"lengths": lengths, "segments": segments, "state": state}
        outputs, state = read_target(decoder, x, dropouts, memory.tensors, **rows)
        return Output(self.dropout(outputs[-1]), state, collected=collected(collect, [x, *outputs]))


SIZES = {"sutskever": SutskeverConfig()}
"""Section 3.4: 384M parameters, of which 64M are recurrent."""


def weight_map(config: SutskeverConfig) -> WeightMap:
    """Our names are the file's."""
    names = ["embedding.weight", *(f"blocks.{{i}}.{name}" for name in KERNEL_NAMES), "head.bias"]
    if config.tied:
        return same_names(names, layers=2 * config.layers, tied=("head.weight",))
    return same_names([*names, "head.weight"], layers=2 * config.layers)
