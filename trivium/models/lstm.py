"""The LSTM language model (Hochreiter and Schmidhuber 1997; Zaremba, Sutskever and Vinyals 2014).

Embedding, a stack of LSTM layers, softmax. Dropout stands on the connections between layers and never
on the recurrent ones (Zaremba et al. 2014, section 3.1). All it carries from one call to the next is
``(h, c)`` of each layer, so a text of any length is read in constant memory.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported
from trivium.models.own_format import read_config, same_names, write_config
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.output import Output
from trivium.nn.recurrent import RecurrentLayer, runs_of
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class LSTMConfig:
    """Shape of an LSTM language model; the defaults are Zaremba's medium one."""

    vocabulary_size: int = 10000
    """Number of pieces V."""
    width: int = 650
    """Width D of the embedding and of every layer."""
    layers: int = 2
    """Number of LSTM layers."""
    dropout: float = 0.5
    """Dropout on the embedding and on the output of every layer."""
    tied: bool = False
    """Output weights are the input embedding (Press and Wolf 2017)."""

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "LSTMConfig":
        """From a ``config.json`` of ``model_type`` trivium-lstm; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-lstm", "LSTM")


class LSTM(nn.Module):
    """Recurrent language model; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(RecurrentLayer(config.width, config.width, "lstm") for _ in range(config.layers))
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, bias=True)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.uniform_(weight, -0.1, 0.1)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """The state of ``rows`` unread texts; its size does not depend on ``capacity``."""
        layers = [block.empty(rows) for block in self.blocks]
        return State(list(layers), torch.zeros(rows, dtype=torch.long, device=self.embedding.weight.device))

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
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md."""
        if "attention" in collect:
            raise Unsupported("an LSTM has no attention to collect", received="collect attention", expected="hidden")
        x = embedded(self, tokens, embeddings)
        rows, length, _ = x.shape
        # Padding stands to the right: where no state is handed on, what is read after a row's end changes nothing,
        # and whole rows take the fused kernel (7 times as fast as ragged ones on a CPU, backward pass included).
        counted = None if state is None else lengths
        runs = runs_of(rows, length, x.device, lengths=counted, segments=segments, stateful=state is not None)
        x = self.dropout(x)
        collected: dict[str, list[Tensor]] = {name: [x] for name in collect}
        layers = []
        for i, block in enumerate(self.blocks):
            x, after = block(x, runs, None if state is None else state.layers[i])
            x = self.dropout(x)
            layers.append(after)
            if "hidden" in collected:
                collected["hidden"].append(x)
        if state is not None:
            state = State(layers, state.lengths + _appended(state.rows, length, lengths, segments))
        return Output(x, state, collected=collected)


def _appended(rows: int, length: int, lengths: Tensor | None, segments: Tensor | None) -> Tensor | int:
    """How many tokens each row of the state is given."""
    if segments is not None:
        return torch.bincount(segments[segments >= 0], minlength=rows)
    return length if lengths is None else lengths


SIZES = {
    "lstm-small": LSTMConfig(width=200, dropout=0.0),
    "lstm-medium": LSTMConfig(),
    "lstm-large": LSTMConfig(width=1500, dropout=0.65),
}
"""Section 4.1 of Zaremba et al. 2014, for the 10,000 words of the Penn Treebank."""


def weight_map(config: LSTMConfig) -> WeightMap:
    """Our names are the file's."""
    kernel = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    names = ["embedding.weight", *(f"blocks.{{i}}.rnn.{name}" for name in kernel), "head.bias"]
    if config.tied:
        return same_names(names, layers=config.layers, tied=("head.weight",))
    return same_names([*names, "head.weight"], layers=config.layers)
