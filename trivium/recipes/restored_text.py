"""An objective that restores a text, with nothing left open, and what its rows are made with."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from trivium.data.batches import Batch
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError
from trivium.recipes.units import Units
from trivium.tokenizers import Tokenizer

Restored = Literal[
    "masked",
    "replaced",
    "permutation",
    "span_corruption",
    "ul2",
    "denoising",
    "blank_infilling",
    "fill_in_the_middle",
    "prefix",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corruption:
    """An objective with nothing left open; the fields as in `ObjectiveConfig`, None where it has no such setting."""

    kind: Restored
    rate: float | None
    mean_span: float | None
    units: Units | None
    reads_whole: bool
    """Whether the network reads a text as a whole, before it writes."""

    @property
    def needs_masks(self) -> bool:
        """Whether its vocabulary has special tokens for it."""
        return self.reads_whole or self.kind != "prefix"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """How the rows of an objective are made."""

    window_tokens: int
    """Length of the texts that are cut out."""
    corrupt: Callable[[np.ndarray, np.random.Generator], Any]
    """``(ids [window_tokens], rng)`` gives one row."""
    collate: Callable[[Sequence[Any]], Batch]
    loss: Callable[..., Any]
    """``(model, batch) -> Loss``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text:
    """What the vocabulary, the context and the network say of a row."""

    tokenizer: Tokenizer
    context_tokens: int
    train: TokenStore
    start_id: int | None

    @property
    def around(self) -> int:
        """Special tokens around a text."""
        return len(self.tokenizer.prefix_ids) + len(self.tokenizer.suffix_ids)

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self.tokenizer.special_tokens.values())

    def enclosing(self) -> Callable[[np.ndarray | Sequence[int]], np.ndarray]:
        """Puts the special tokens around a text."""
        before, after = self.tokenizer.prefix_ids, self.tokenizer.suffix_ids
        return lambda ids: np.concatenate([before, ids, after]).astype(np.int64)

    def required(self, *tokens: str) -> list[int]:
        """The ids of special tokens. Raises `ConfigError` for the first that the vocabulary lacks."""
        return [present(self.tokenizer.id(token), token) for token in tokens]


def present(id: int | None, token: str) -> int:
    """The id of a special token. Raises `ConfigError` where there is none."""
    if id is None:
        raise ConfigError(
            "the vocabulary lacks a token that this objective needs",
            received=f"no {token}",
            fix="prepare the text again with --masks",
        )
    return id
