"""The two-direction language model of ELMo (Peters et al. 2018, "Deep contextualized word representations", 3.1).

Two language models that share their embedding and their softmax: one reads from left to right and predicts the next
token, the other from right to left and predicts the one before. They never see each other's states, or each would be
told what it is to predict; a bidirectional LSTM stacked in the usual way is no language model. Each direction has its
own perplexity. Layer j of a token is [forward_j ; backward_j], and layer 0 its vector twice (3.2): what a tagger or a
classifier is built on. As in the paper the second layer adds its input to its output. Unlike there a token is an entry
of the vocabulary and not spelt by a convolution over characters, and cells have no projection inside.

Alone, the model is its forward half, which can be carried on, generate and be scored like any recurrent language model;
``collect=("backward",)`` adds the last layer of the other half.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.own_format import read_config, recurrent_names, write_config
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.output import Output
from trivium.nn.recurrent import RecurrentLayer, backwards, collected, read, unread
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class BiLMConfig:
    """Shape of a two-direction language model; width and depth are those of ELMo's projections."""

    vocabulary_size: int = 10000
    """Number of pieces V."""
    width: int = 512
    """Width D of the embedding and of every layer of each direction."""
    layers: int = 2
    """LSTM layers of each direction."""
    dropout: float = 0.1
    """Dropout on the embedding and on the output of every layer."""
    tied: bool = False
    """Output weights are the input embedding (Press and Wolf 2017)."""

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "BiLMConfig":
        """From a ``config.json`` of ``model_type`` trivium-bilm; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-bilm", "BiLM")


class BiLM(nn.Module):
    """Two language models in one; ``blocks`` are the layers of the forward one, then those of the backward one."""

    def __init__(self, config: BiLMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.dropout = nn.Dropout(config.dropout)
        layers = 2 * config.layers
        self.blocks = nn.ModuleList(RecurrentLayer(config.width, config.width, "lstm") for _ in range(layers))
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, bias=True)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.uniform_(weight, -0.1, 0.1)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, the same for both directions."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """The forward half's state of ``rows`` unread texts; its size does not depend on ``capacity``."""
        return unread(self.blocks[: self.config.layers], rows)

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
        """Hidden states of the forward half, see the model contract in docs/architecture.md.

        "backward" collects the backward half's last layer ``[B, T, D]``: at t it has read a text's tokens from the
        last one down to t, within this call, and ``head`` makes of it what it predicts for t - 1. "hidden" collects
        every layer of both halves, ``[B, T, 2 D]`` each.
        """
        x = embedded(self, tokens, embeddings)
        layers = self.config.layers
        outputs, state = self._half(self.blocks[:layers], x, lengths, segments, state)
        hidden = self.dropout(outputs[-1])
        if not collect:
            return Output(hidden, state)
        rows, length, _ = x.shape
        order = backwards(rows, length, x.device, lengths=lengths, segments=segments)
        mirrored, _ = self._half(self.blocks[layers:], _placed(x, order), lengths, segments, None)
        halves = zip([x, *outputs], [x, *(_placed(out, order) for out in mirrored)], strict=True)
        seen = collected(collect, [torch.cat(pair, dim=-1) for pair in halves])
        if "backward" in collect:
            seen["backward"] = [self.dropout(_placed(mirrored[-1], order))]
        return Output(hidden, state, collected=seen)

    def _half(
        self, blocks: nn.ModuleList, x: Tensor, lengths: Tensor | None, segments: Tensor | None, state: State | None
    ) -> tuple[list[Tensor], State | None]:
        """Every layer of one direction."""
        dropouts = [self.dropout] * len(blocks)
        return read(blocks, x, dropouts, lengths=lengths, segments=segments, state=state, residual=True)


def _placed(x: Float[Tensor, "B T D"], order: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    """At each place the vector that ``order`` names."""
    return x.gather(1, order[..., None].expand_as(x))


def weight_map(config: BiLMConfig) -> WeightMap:
    """Our names are the file's."""
    return recurrent_names(2 * config.layers, tied=config.tied)
