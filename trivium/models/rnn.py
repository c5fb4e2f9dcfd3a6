"""The simple recurrent network (Elman 1990, "Finding Structure in Time") as a language model (Mikolov et al. 2010).

    h_t = tanh(W x_t + U h_{t-1} + b)        p(x_{t+1} | x_1 .. x_t) = softmax(V h_t + c)

The gradient that comes back over k tokens has been multiplied by k Jacobians, diag(1 - h^2) U: it vanishes or explodes
(Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013), which is what gates were invented against. U
begins orthogonal, where it does neither at first. Mikolov et al. have a logistic sigmoid in the place of tanh.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.models.own_format import read_config, recurrent_names, write_config
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.recurrent import RecurrentLayer, collected, read, unread
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class RNNConfig:
    """Shape of an Elman network as a language model; the defaults are near to those of Mikolov et al. 2010."""

    vocabulary_size: int = 10000
    """Number of pieces V."""
    width: int = 250
    """Width D of every layer."""
    layers: int = 1
    """Number of layers; one in the papers."""
    dropout: float = 0.0
    """Dropout on the embedding and on the output of every layer."""
    tied: bool = False
    """Output weights are the input embedding (Press and Wolf 2017)."""
    embedding_width: int | None = None
    """Width of the embedding; null for that of the layers. Where tied, the output is projected to it."""

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "RNNConfig":
        """From a ``config.json`` of ``model_type`` trivium-rnn; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-rnn", "RNN")


class RNN(nn.Module):
    """Recurrent language model; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: RNNConfig) -> None:
        super().__init__()
        self.config = config
        narrow = config.embedding_width or config.width
        self.embedding = nn.Embedding(config.vocabulary_size, narrow)
        self.dropout = nn.Dropout(config.dropout)
        widths = [narrow, *[config.width] * (config.layers - 1)]
        self.blocks = nn.ModuleList(RecurrentLayer(width, config.width, "rnn") for width in widths)
        last = narrow if config.tied else config.width
        self.projection = nn.Identity() if last == config.width else Linear(config.width, last, bias=False)
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(last, config.vocabulary_size, tied_to=tied_to, bias=True)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.uniform_(weight, -0.1, 0.1)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Token vectors."""
        return self.embedding(tokens)

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
        dropouts = [self.dropout] * len(self.blocks)
        outputs, state = read(self.blocks, x, dropouts, lengths=lengths, segments=segments, state=state)
        hidden = self.projection(self.dropout(outputs[-1]))
        return Output(hidden, state, collected=collected(collect, [x, *outputs]))


def weight_map(config: RNNConfig) -> WeightMap:
    """Our names are the file's."""
    projected = config.tied and config.embedding_width not in (None, config.width)
    return recurrent_names(config.layers, tied=config.tied, projected=projected)
