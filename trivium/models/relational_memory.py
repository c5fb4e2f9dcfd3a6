"""The relational memory as a language model: the generator of RelGAN (Nie, Narodytska and Patel 2019).

Instead of one vector a recurrence carries several slots, and at every token each of them attends to all the others and
to what was just read (Santoro et al. 2018; see ``nn/relational_memory.py``). Embedding, memory, softmax over the slots
side by side. RelGAN has a single slot, which attends to itself and to the input.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.models.own_format import read_config, same_names, write_config
from trivium.nn.embedded import embedded
from trivium.nn.head import OutputHead
from trivium.nn.initialise import truncated_normal_
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.recurrent import collected, read, unread
from trivium.nn.recurrent_decoder import begun
from trivium.nn.relational_memory import Gating, RelationalMemoryLayer
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class RelationalMemoryConfig:
    """Shape of the language model; the defaults are RelGAN's generator, but for its narrow embedding."""

    vocabulary_size: int = 5000
    """Number of pieces V."""
    width: int = 512
    """Width D of a slot, all heads together."""
    slots: int = 1
    """Slots S of the memory of every layer, which puts out S * D numbers for a token."""
    heads: int = 2
    """Attention heads."""
    gating: Gating = "unit"
    """unit: gates for every number of a slot; slot: one of each kind for a whole slot."""
    layers: int = 1
    """Memories one on another; the papers have one."""
    dropout: float = 0.0
    """Dropout on the embedding and on the output of every layer."""
    tied: bool = False
    """Output weights are the input embedding (Press and Wolf 2017)."""
    embedding_width: int | None = None
    """Width of the embedding; null for that of a slot. Where tied, the output is projected to it."""

    def __post_init__(self) -> None:
        if min(self.slots, self.heads, self.layers) < 1:
            raise ConfigError(
                "slots, heads and layers must be at least 1",
                received=f"slots {self.slots}, heads {self.heads}, layers {self.layers}",
            )
        if self.width % self.heads:
            raise ConfigError(
                "the heads do not divide the width",
                received=f"width {self.width}, heads {self.heads}",
                fix=f"set width to a multiple of {self.heads}",
            )

    @property
    def context_tokens(self) -> None:
        """No limit: a recurrence has no positions."""
        return None

    @property
    def projected(self) -> bool:
        """Whether what the last layer puts out is brought to the width of the embedding, which is the output's too."""
        return self.tied and self.slots * self.width != (self.embedding_width or self.width)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "RelationalMemoryConfig":
        """From a ``config.json`` of ``model_type`` trivium-relational-memory; ``ConfigError`` for fields it does not
        have."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-relational-memory", "RelationalMemory")


class RelationalMemory(nn.Module):
    """Recurrent language model; ``head(output.hidden)`` gives the logits."""

    def __init__(self, config: RelationalMemoryConfig) -> None:
        super().__init__()
        self.config = config
        narrow, wide = config.embedding_width or config.width, config.slots * config.width
        self.embedding = nn.Embedding(config.vocabulary_size, narrow)
        self.dropout = nn.Dropout(config.dropout)
        shape = {"slots": config.slots, "heads": config.heads, "gating": config.gating}
        widths = [narrow, *[wide] * (config.layers - 1)]
        self.blocks = nn.ModuleList(RelationalMemoryLayer(width, config.width, **shape) for width in widths)
        self.projection = Linear(wide, narrow, bias=False) if config.projected else nn.Identity()
        tied_to = self.embedding if config.tied else None
        self.head = OutputHead(narrow if config.tied else wide, config.vocabulary_size, tied_to=tied_to, bias=True)
        if not config.tied:
            truncated_normal_(self.head.weight, wide**-0.5)
        truncated_normal_(self.embedding.weight, config.vocabulary_size**-0.5)  # as RelGAN's authors have it

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
        if state is not None:  # a memory does not begin as zeros, which is what a state has in rows that were emptied
            first = [block.empty(state.rows).tensors for block in self.blocks]
            state = replace(state, layers=begun(state, first))
        dropouts = [self.dropout] * len(self.blocks)
        outputs, state = read(self.blocks, x, dropouts, lengths=lengths, segments=segments, state=state)
        hidden = self.projection(self.dropout(outputs[-1]))
        return Output(hidden, state, collected=collected(collect, [x, *outputs]))


SIZES = {"relgan": RelationalMemoryConfig(embedding_width=32)}
"""Nie et al. 2019, the generator for texts of the oracle, as their program has it."""


def weight_map(config: RelationalMemoryConfig) -> WeightMap:
    """Our names are the file's."""
    linear = ("input", "feedforward.up", "feedforward.down", "gates_of_input")
    norms = ("qkv_norm", "attention_norm", "feedforward_norm")
    block = [f"{module}.{kind}" for module in (*linear, *norms) for kind in ("weight", "bias")]
    names = [f"blocks.{{i}}.{name}" for name in (*block, "qkv.weight", "gates_of_memory.weight")]
    names += ["embedding.weight", "head.bias"]
    names += ["projection.weight"] * config.projected + ["head.weight"] * (not config.tied)
    return same_names(names, layers=config.layers, tied=("head.weight",) if config.tied else ())
