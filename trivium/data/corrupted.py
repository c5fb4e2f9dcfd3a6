"""Text with something missing, for every objective that asks to restore it.

    source = CorruptedSource(store, corrupt, collate, window_tokens=126, rows=8, seed=0)
    batch = next(source)

A window of text is corrupted anew each time it is read (Liu et al. 2019, section 4.1, "dynamic masking"), by numbers
that depend on the seed, the epoch and the window alone: a run that is resumed, or shared out between another number of
processes, sees the same batches.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from trivium.data.resumable import BatchType, ShuffledSource, check_enough, check_sizes, identity_of
from trivium.data.shards import TokenStore
from trivium.data.windows import Windows

Row = TypeVar("Row")
Corrupt = Callable[[np.ndarray, np.random.Generator], Row]
"""``corrupt(ids [window_tokens], rng)`` gives one row of a batch."""


class CorruptedSource(ShuffledSource[BatchType]):
    """Windows of the text, each corrupted by itself, collated to batches."""

    def __init__(
        self,
        store: TokenStore,
        corrupt: Corrupt[Row],
        collate: Callable[[Sequence[Row]], BatchType],
        *,
        window_tokens: int,
        rows: int,
        settings: Mapping[str, Any],
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ):
        """``settings`` (JSON) are those of ``corrupt``: a run is resumed with the same ones only.

        Raises:
            DataError: there is less text than one window.
            ConfigError: there are fewer rows than ranks.
        """
        check_sizes(window_tokens, rows, world)
        check_enough(store, window_tokens)
        self._corrupt, self._collate = corrupt, collate
        self._windows = Windows(store, width=window_tokens, step=window_tokens, seed=seed)
        identity = identity_of("corrupted windows", store, rows, context_tokens=window_tokens) | {**settings}
        super().__init__(identity, items=self._windows.count, items_per_batch=rows, seed=seed, rank=rank, world=world)

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> BatchType:
        own, items = epochs[self._share(len(places))], self._shuffled_share(epochs, places)
        texts = self._windows.read(own, items)
        generators = (np.random.default_rng((self._seed, int(e), int(n))) for e, n in zip(own, items, strict=True))
        return self._collate([self._corrupt(text, rng) for text, rng in zip(texts, generators, strict=True)])
