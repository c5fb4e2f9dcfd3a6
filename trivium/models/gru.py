"""The gated recurrent unit (Cho et al. 2014, section 2.3) as a language model (Chung et al. 2014).

    r_t, z_t = sigmoid(W x_t + U h_{t-1} + b)        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + d_n))
    h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Two gates and no second memory: where z is near 1 the state is handed on as it is, and the gradient with it. The reset
gate r stands after the matrix product, as in all fused kernels; Cho et al. have U_n (r_t * h_{t-1}).
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
class GRUConfig:
    """Shape of a GRU language model; the defaults are those of our medium LSTM."""

    vocabulary_size: int = 10000
    """Number of pieces V."""
    width: int = 650
    """Width D of every layer."""
    layers: int = 2
    """Number of GRU layers."""
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
    def from_hf(cls, config: dict[str, Any]) -> "GRUConfig":
        """From a ``config.json`` of ``model_type`` trivium-gru; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-gru", "GRU")


class GRU(nn.Module):
    """Recurrent language model; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: GRUConfig) -> None:
        super().__init__()
        self.config = config
        narrow = config.embedding_width or config.width
        self.embedding = nn.Embedding(config.vocabulary_size, narrow)
        self.dropout = nn.Dropout(config.dropout)
        widths = [narrow, *[config.width] * (config.layers - 1)]
        self.blocks = nn.ModuleList(RecurrentLayer(width, config.width, "gru") for width in widths)
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


def weight_map(config: GRUConfig) -> WeightMap:
    """Our names are the file's."""
    projected = config.tied and config.embedding_width not in (None, config.width)
    return recurrent_names(config.layers, tied=config.tied, projected=projected)
