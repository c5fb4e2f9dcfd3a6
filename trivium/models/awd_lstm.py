"""AWD-LSTM (Merity, Keskar and Socher 2018, "Regularizing and Optimizing LSTM Language Models").

An LSTM language model and six ways to keep it from learning its text by heart: dropped recurrent weights (section 2),
locked dropout (4.2), dropped words (4.3), tied weights (4.4) with an embedding narrower than the layers (4.5), and a
penalty on large and on quickly changing outputs (AR and TAR, 4.6). The other half of the recipe is how it is trained:
by averaged gradient descent (`trivium.training.averaged_sgd`) on rows of varying length
(`trivium.data.varied_stream`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.models.own_format import read_config, recurrent_names, write_config
from trivium.nn.activation_regularisation import activation_regularisation, temporal_activation_regularisation
from trivium.nn.dropout import LockedDropout, WordDropout
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.output import Output
from trivium.nn.real_tokens import real_tokens
from trivium.nn.recurrent import RecurrentLayer, collected, read, unread
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class AWDLSTMConfig:
    """Shape and regularisation; the rates are the authors' for the Penn Treebank."""

    vocabulary_size: int = 10000
    """Number of pieces V."""
    width: int = 1150
    """Width D of the layers but, where tied, the last."""
    layers: int = 3
    """Number of LSTM layers."""
    embedding_width: int | None = None
    """Width E of the embedding and, where tied, of the last layer; null for that of the others. The authors' is 400."""
    tied: bool = True
    """Output weights are the input embedding (Press and Wolf 2017)."""
    dropout: float = 0.4
    """Locked dropout of what the last layer puts out."""
    input_dropout: float = 0.4
    """Locked dropout of the embedded text."""
    hidden_dropout: float = 0.25
    """Locked dropout between layers."""
    embedding_dropout: float = 0.1
    """Share of the vocabulary that a training pass reads as nothing."""
    weight_dropout: float = 0.5
    """Share of the recurrent weights that a training pass does without."""
    activation_regularisation: float = 2.0
    """Weight alpha of the mean square of the output (AR)."""
    temporal_activation_regularisation: float = 1.0
    """Weight beta of the mean square of its change from token to token (TAR)."""

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "AWDLSTMConfig":
        """From a ``config.json`` of ``model_type`` trivium-awd-lstm; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-awd-lstm", "AWDLSTM")


class AWDLSTM(nn.Module):
    """Recurrent language model; ``head(output.hidden)`` gives the logits, AR and TAR are in ``output.auxiliary``."""

    def __init__(self, config: AWDLSTMConfig) -> None:
        super().__init__()
        self.config = config
        narrow = config.embedding_width or config.width
        last = narrow if config.tied else config.width
        self.embedding = nn.Embedding(config.vocabulary_size, narrow)
        self.word_dropout = WordDropout(config.vocabulary_size, config.embedding_dropout)
        self.input_dropout = LockedDropout(config.input_dropout)
        self.hidden_dropout = LockedDropout(config.hidden_dropout)
        self.dropout = LockedDropout(config.dropout)
        widths = [narrow, *[config.width] * (config.layers - 1), last]
        self.blocks = nn.ModuleList(
            RecurrentLayer(widths[i], widths[i + 1], "lstm", weight_dropout=config.weight_dropout)
            for i in range(config.layers)
        )
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(last, config.vocabulary_size, tied_to=tied_to, bias=True)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.uniform_(weight, -0.1, 0.1)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Token vectors; while training some words are nothing, wherever they stand."""
        return self.word_dropout(self.embedding(tokens), tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """The state of ``rows`` unread texts; its size does not depend on ``capacity``."""
        return unread(self.blocks, rows)

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
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md."""
        x = embedded(self, tokens, embeddings)
        dropouts = [self.input_dropout, *[self.hidden_dropout] * (len(self.blocks) - 1)]
        outputs, state = read(self.blocks, x, dropouts, lengths=lengths, segments=segments, state=state)
        hidden = self.dropout(outputs[-1])
        auxiliary = self._penalties(hidden, outputs[-1], lengths, segments) if self.training else {}
        return Output(hidden, state, auxiliary, collected(collect, [x, *outputs]))

    def _penalties(
        self,
        hidden: Float[Tensor, "B T D"],
        raw: Float[Tensor, "B T D"],
        lengths: Int[Tensor, "B"] | None,
        segments: Int[Tensor, "B T"] | None,
    ) -> dict[str, Tensor]:
        """AR of the output after dropout and TAR of the output before it, over real tokens and within texts."""
        valid = real_tokens(raw, lengths=lengths, segments=segments)
        follows = _following(valid, segments)
        alpha, beta = self.config.activation_regularisation, self.config.temporal_activation_regularisation
        penalties = {}
        if alpha:
            penalties["activation"] = alpha * activation_regularisation(hidden, valid)
        if beta:
            penalties["temporal_activation"] = beta * temporal_activation_regularisation(raw, follows)
        return penalties


def _following(valid: Bool[Tensor, "B T"], segments: Tensor | None) -> Bool[Tensor, "B T"]:
    """Which of the ``valid`` positions hold the next token of the text to their left."""
    later = torch.arange(valid.shape[1], device=valid.device) > 0
    return valid & later if segments is None else valid & later & (segments == segments.roll(1, dims=1))


SIZES = {
    "awd-lstm-ptb": AWDLSTMConfig(embedding_width=400),
    "awd-lstm-wikitext2": AWDLSTMConfig(
        vocabulary_size=33278, embedding_width=400, input_dropout=0.65, hidden_dropout=0.2
    ),
}
"""Section 5 of the paper and the authors' program: 24 and 33 million parameters."""


def weight_map(config: AWDLSTMConfig) -> WeightMap:
    """Our names are the file's."""
    return recurrent_names(config.layers, tied=config.tied)
