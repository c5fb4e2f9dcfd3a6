"""LeakGAN's generator: a Manager that is told the discriminator's features, a Worker that writes (Guo et al. 2018).

    f_t = F(s_t)                                 features of the text so far, leaked by the discriminator
    g_t = M(f_t), of unit length                 the Manager, an LSTM: the direction in which f should move
    w_t = W_psi(g_t + ... + g_{t-c+1}) / |.|     the last c goals
    O_t = W(x_t)  [V, K]                         the Worker, an LSTM: a vector for each piece
    p(x_{t+1} | s_t) = softmax(O_t w_t)          section "A Hierarchical Structure of G"; c = 4, K = 16

Here the first token that is read only starts the text (x_0): s_t are the t tokens after it, and f_0 is that of an empty
text (``nn/prefix_features.py``). That w is of unit length is the authors' program's; theirs adds up goals in blocks of
c steps, each block guiding the next and a learned goal the first, where this takes the last c at every step, as the
paper has it. The temperature of its eq. 6 belongs to sampling.

O_t = W_O [h_t; 1] is never made: its product with w_t is that of W_O with the products of their entries, which is what
an ordinary head does for ``hidden`` of K (D + 1) numbers.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.models.own_format import read_config, same_names, write_config
from trivium.models.text_cnn import TextCNN
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.highway import Highway
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.prefix_features import PrefixFeatures, at
from trivium.nn.recurrent import KERNEL_NAMES, RecurrentLayer, Runs, collected, runs_of
from trivium.nn.separate import Separate
from trivium.nn.state import RecurrentState, State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class LeakGANConfig:
    """Shape of the generator, and of what it is told; the defaults are those for texts of 20 tokens."""

    vocabulary_size: int = 5000
    """Number of pieces V."""
    embedding_width: int | None = None
    """Width of the Worker's embedding; null for that of the recurrent layers."""
    width: int = 32
    """Width D of the Manager's and of the Worker's layer."""
    action_width: int = 16
    """Width K of the vectors whose inner products are the logits."""
    horizon: int = 4
    """Steps c for which a goal is pursued."""
    leak_width: int = 64
    """Width of the discriminator's embedding."""
    windows: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
    """Tokens that each kind of the discriminator's filters sees."""
    filters: tuple[int, ...] = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)
    """Number of its filters of each kind; together as many features F, and numbers in a goal."""
    dropout: float = 0.0
    """Dropout on the Worker's embedding and on its output."""

    def __post_init__(self) -> None:
        if len(self.windows) != len(self.filters) or not self.windows:
            raise ConfigError(
                "windows and filters do not belong together",
                received=f"windows {self.windows}, filters {self.filters}",
                expected="one number of filters for each window, at least one",
            )
        if self.horizon < 1:
            raise ConfigError("a goal is pursued for at least one step", received=f"horizon {self.horizon}")

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "LeakGANConfig":
        """From a ``config.json`` of ``model_type`` trivium-leakgan; ``ConfigError`` for fields it does not have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-leakgan", "LeakGAN")


class LeakGAN(nn.Module):
    """A recurrent language model with a leak; ``head(output.hidden)`` gives the logits. The Worker is its one block,
    the Manager and the ``leak`` stand beside it."""

    def __init__(self, config: LeakGANConfig) -> None:
        super().__init__()
        self.config = config
        narrow = config.embedding_width or config.width
        self.embedding = nn.Embedding(config.vocabulary_size, narrow)
        self.dropout = nn.Dropout(config.dropout)
        self.leak = PrefixFeatures(config.vocabulary_size, config.leak_width, config.windows, config.filters)
        self.manager = RecurrentLayer(self.leak.features, config.width, "lstm")
        self.goal = Linear(config.width, self.leak.features)
        self.psi = Linear(self.leak.features, config.action_width, bias=False)
        self.blocks = nn.ModuleList([RecurrentLayer(narrow, config.width, "lstm")])
        self.head = OutputHead(config.action_width * (config.width + 1), config.vocabulary_size)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.uniform_(weight, -0.1, 0.1)

    def follow(self, discriminator: TextCNN) -> None:
        """Copies what the leak tells from a discriminator of the same shape; ``ConfigError`` for another."""
        theirs, highway = discriminator.config, discriminator.classify.transform
        shapes = [
            (each.vocabulary_size, width, each.windows, each.filters, True)
            for each, width in ((self.config, self.config.leak_width), (theirs, theirs.width))
        ]
        if not isinstance(highway, Highway) or shapes[0] != shapes[1]:
            names = ("vocabulary_size", "width", "windows", "filters", "highway")
            received = (theirs.vocabulary_size, theirs.width, theirs.windows, theirs.filters, theirs.highway)
            raise ConfigError(
                "the leak is not of this discriminator's shape",
                received=", ".join(f"{name} {value}" for name, value in zip(names, received, strict=True)),
                expected=", ".join(f"{name} {value}" for name, value in zip(names, shapes[0], strict=True)),
            )
        self.leak.embedding.load_state_dict(discriminator.embedding.state_dict())
        self.leak.blocks.load_state_dict(discriminator.blocks.state_dict())
        self.leak.highway.load_state_dict(highway.state_dict())

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Two vectors of each token side by side: the Worker's and the leak's."""
        return torch.cat([self.embedding(tokens), self.leak.embed(tokens)], dim=-1)

    def new_state(self, rows: int, capacity: int) -> State:
        """The state of ``rows`` unread texts; its size does not depend on ``capacity``."""
        lengths = torch.zeros(rows, dtype=torch.long, device=self.embedding.weight.device)
        return State([RecurrentState((*self._nothing_written(rows), *self._nothing_planned(rows)))], lengths)

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
        if segments is None:
            return self._read(x, lengths, state, collect)
        separate = Separate.of(segments, None if state is None else state.rows)
        output = self._read(separate.pad(x), separate.lengths, state, collect)
        seen = {name: [separate.pack(each) for each in layers] for name, layers in output.collected.items()}
        return Output(separate.pack(output.hidden), output.state, collected=seen)

    def plan(self, tokens: Int[Tensor, "B T"]) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"]]:
        """Features f_t and goals g_t of every prefix, t = 0, ..., T - 1, of texts that ``tokens[:, 0]`` starts."""
        rows, length = tokens.shape
        lengths = torch.full((rows,), length, device=tokens.device)
        nothing = self._nothing_planned(rows)
        leaked = self.leak.embed(tokens)
        features, goals, _, _ = self._plan(leaked, torch.zeros_like(lengths), lengths, nothing, None)
        return features, goals

    def write(self, tokens: Int[Tensor, "B T"], goals: Float[Tensor, "B T F"]) -> Float[Tensor, "B T D"]:
        """The hidden states of the Worker that is given these goals; with those of `plan` what ``forward`` gives."""
        rows = tokens.shape[0]
        guides, _ = self._guides(goals, self._nothing_planned(rows)[2])
        return self._write(self.embedding(tokens), guides, self._nothing_written(rows), None)[0]

    def _read(
        self,
        x: Float[Tensor, "B T E"],
        lengths: Int[Tensor, "B"] | None,
        state: State | None,
        collect: Collection[str],
    ) -> Output:
        rows, length, _ = x.shape
        given = torch.full((rows,), length, device=x.device) if lengths is None else lengths
        state_before = self.new_state(rows, 0) if state is None else state
        (layer,) = state_before.layers
        assert isinstance(layer, RecurrentState)
        # Where no state is handed on, what is read after a row's end changes nothing; see `recurrent.read`.
        counted = None if state is None else lengths
        runs = runs_of(rows, length, x.device, lengths=counted, segments=None, stateful=True)
        own, leaked = x.split([self.embedding.embedding_dim, self.leak.width], dim=-1)
        _, _, guides, planned = self._plan(leaked, state_before.lengths, given, layer.tensors[2:], runs)
        hidden, out, written = self._write(own, guides, layer.tensors[:2], runs)
        if state is not None:
            state = State([RecurrentState((*written, *planned))], state.lengths + given)
        return Output(hidden, state, collected=collected(collect, [own, out]))

    def _plan(
        self,
        leaked: Float[Tensor, "B T E"],
        before: Int[Tensor, "B"],
        lengths: Int[Tensor, "B"],
        carried: tuple[Float[Tensor, "B _"], ...],
        runs: Runs | None,
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T F"], Float[Tensor, "B T K"], tuple[Tensor, ...]]:
        """Features, goals and the vectors w that guide the Worker, and what is carried on; as `_nothing_planned`."""
        h, c, past, vectors, strongest = carried
        features, leak = self.leak.read(leaked, before, lengths, (vectors, strongest))
        out, manager = self.manager(features, runs, RecurrentState((h, c)))
        goals = F.normalize(self.goal(out), dim=-1)
        guides, joined = self._guides(goals, past)
        last = lengths[:, None] + torch.arange(self.config.horizon - 1, device=lengths.device)
        return features, goals, guides, (*manager.tensors, at(joined, last).flatten(1), *leak)

    def _guides(
        self, goals: Float[Tensor, "B T F"], past: Float[Tensor, "B _"]
    ) -> tuple[Float[Tensor, "B T K"], Float[Tensor, "B _ F"]]:
        """w_t of the last c goals, or of as many as there were; and all goals, those of before in front."""
        horizon, length = self.config.horizon, goals.shape[1]
        joined = torch.cat([past.unflatten(1, (horizon - 1, goals.shape[2])), goals], dim=1)
        summed = torch.stack([joined[:, i : i + length] for i in range(horizon)]).sum(0)
        return F.normalize(self.psi(summed), dim=-1), joined

    def _write(
        self,
        x: Float[Tensor, "B T E"],
        guides: Float[Tensor, "B T K"],
        carried: tuple[Float[Tensor, "B _"], ...],
        runs: Runs | None,
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T _"], tuple[Tensor, ...]]:
        """The products of w_t and [h_t; 1], entry by entry; h_t; and what the Worker carries on."""
        out, worker = self.blocks[0](self.dropout(x), runs, RecurrentState(carried))
        h = F.pad(self.dropout(out), (0, 1), value=1.0)
        return (guides[..., :, None] * h[..., None, :]).flatten(2), out, worker.tensors

    def _nothing_written(self, rows: int) -> tuple[Float[Tensor, "B _"], ...]:
        """The Worker's (h, c) before the first token."""
        return self.blocks[0].empty(rows).tensors

    def _nothing_planned(self, rows: int) -> tuple[Float[Tensor, "B _"], ...]:
        """Before the first token: the Manager's (h, c), its goals of the last c - 1 steps, what the leak carries."""
        vectors, strongest = self.leak.empty(rows)
        return (*self.manager.empty(rows).tensors, strongest.repeat(1, self.config.horizon - 1), vectors, strongest)


SIZES = {
    "leakgan-20": LeakGANConfig(),
    "leakgan-40": LeakGANConfig(
        width=64,
        windows=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 30),
        filters=(100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160, 160),
    ),
}
"""Of the authors' program, for synthetic texts of 20 and of 40 tokens. For the latter it names a window of 40 as well,
without filters, and goes without."""


def weight_map(config: LeakGANConfig) -> WeightMap:
    """Our names are the file's."""
    layers = [f"{layer}.{name}" for layer in ("blocks.0", "manager") for name in KERNEL_NAMES]
    modules = [f"leak.blocks.{i}.convolution" for i in range(len(config.windows))]
    modules += ["goal", "leak.highway.transform", "leak.highway.gate"]
    both = [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]
    return same_names(["embedding.weight", "leak.embedding.weight", *layers, *both, "psi.weight", "head.weight"])
