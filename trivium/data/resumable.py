"""What all sources of batches have in common: counting, shuffling, sharing out between processes, resuming."""

from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

from trivium.data.batches import Batch
from trivium.data.order import shuffled
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, DataError

BatchType = TypeVar("BatchType", bound=Batch)
BatchOut = TypeVar("BatchOut", bound=Batch, covariant=True)


@runtime_checkable
class BatchSource(Protocol[BatchOut]):
    """What the trainer asks of a source of batches."""

    def __next__(self) -> BatchOut:
        """This rank's share of the next global batch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Where the source stands, as JSON."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue with the batch that would have come after `state_dict` was taken."""
        ...


class ShuffledSource(ABC, Generic[BatchType]):
    """Counting, sharing out and resuming, for every source below; what an item is, each says in `_batch`."""

    def __init__(self, identity: dict[str, Any], *, items: int, items_per_batch: int, seed: int, rank: int, world: int):
        """``identity`` is what must be the same for a state to be resumed; ``items`` make one epoch."""
        assert 0 <= rank < world, f"rank {rank} of {world}"
        assert items >= 1, "an epoch has items"
        self._identity = {**identity, "items": items, "seed": seed}
        self._items = items
        self._items_per_batch = items_per_batch
        self._seed = seed
        self._rank, self._world = rank, world
        self._consumed = 0

    def __iter__(self) -> "ShuffledSource[BatchType]":
        return self

    def __next__(self) -> BatchType:
        numbers = np.arange(self._consumed, self._consumed + self._items_per_batch)
        self._consumed += self._items_per_batch
        return self._batch(numbers // self._items, numbers % self._items)

    @property
    def epochs(self) -> float:
        """Passes over the data so far."""
        return self._consumed / self._items

    @property
    def batches_per_epoch(self) -> float:
        """Global batches that make one pass; not always whole."""
        return self._items / self._items_per_batch

    def state_dict(self) -> dict[str, Any]:
        """Where the source stands, as JSON; the same on every rank."""
        return {**self._identity, "consumed": self._consumed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last batch that was yielded when ``state`` was taken, at any world size.

        Raises:
            DataError: the state was taken from other data or with other settings.
        """
        check_same(self._identity, state)
        self._consumed = int(state["consumed"])

    def _share(self, rows: int) -> slice:
        """This rank's rows of a global batch of ``rows``."""
        return slice(self._rank * rows // self._world, (self._rank + 1) * rows // self._world)

    def _shuffled_share(self, epochs: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The items that this rank takes of a batch, [its rows]."""
        share = self._share(len(places))
        return shuffled(places[share], self._items, seed=self._seed, epochs=epochs[share])

    @abstractmethod
    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> BatchType:
        """This rank's share of the items at ``places`` of the orders of ``epochs``, both [items_per_batch]."""


def check_sizes(context_tokens: int, rows: int, world: int) -> None:
    """Refuse a batch without rows or tokens, and one with fewer rows than processes."""
    if context_tokens < 1 or rows < 1:
        raise ConfigError(
            "a batch needs at least one row of one token", received=f"{rows} rows of {context_tokens} tokens"
        )
    if rows < world:
        raise ConfigError(
            "there are more processes than rows in a global batch",
            received=f"{rows} rows for {world} processes",
            fix=f"set the rows of a batch to {world} or more, or start fewer processes",
        )


def check_enough(store: TokenStore, tokens: int) -> None:
    """Refuse a store without one whole window, and the target of its last position."""
    if store.num_tokens < tokens + 1:
        raise DataError(
            "there is less text than one window",
            received=f"{store.num_tokens:,} tokens",
            expected=f"at least {tokens + 1:,} tokens",
            fix="give more text, or set a shorter context",
        )


def identity_of(kind: str, store: TokenStore, rows: int, *, context_tokens: int) -> dict[str, Any]:
    """What must be the same for the state of a source over ``store`` to be resumed."""
    return {"source": kind, "data": store.fingerprint, "rows": rows, "context_tokens": context_tokens}


def check_same(identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Refuse a state that was taken from other data or with other settings than ``identity`` tells of."""
    differing = [name for name, value in identity.items() if state.get(name) != value]
    if differing:
        raise DataError(
            "the run cannot be resumed on these batches: they are not the ones it was trained on",
            received=", ".join(f"{name} {identity[name]}" for name in differing),
            expected=", ".join(f"{name} {state.get(name)}" for name in differing),
            fix="resume with the same data and settings, or start a new run",
        )
