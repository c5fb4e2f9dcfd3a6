"""Batches of examples of about one length: sentence pairs, labelled texts, tagged sentences.

A batch is as wide as its longest row, and what the others lack is computed for nothing. Sorting all of the examples
would waste least, but then a batch would hold the same ones in every epoch. So each epoch deals them out anew, into
pools of some fifty batches; within a pool they are sorted by length and cut, and the batches come in an order of chance
(the "maxi-batch" of Marian; Sutskever et al. 2014, section 3.4, doubled their speed so).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trivium.data.order import shuffled
from trivium.data.resumable import BatchType, ShuffledSource, check_sizes
from trivium.errors import DataError

_BATCHES_A_POOL = 50
_ORDER, _CUTS = 0, 1


class BucketedSource(ShuffledSource[BatchType]):
    """Every example once an epoch; an item of the source is a whole batch."""

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        collate: Callable[[np.ndarray], BatchType],
        *,
        fingerprint: str,
        rows: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ):
        """``lengths`` holds one number an example, ``collate`` makes a batch of the examples at some indices, and
        ``fingerprint`` tells whether a resumed run is given the same examples. No batch has more than ``rows`` rows,
        and their numbers differ by one at most.

        Raises:
            DataError: there are no examples, or so few that a process would have none of a batch.
            ConfigError: there are fewer rows than ranks.
        """
        self._lengths = np.asarray(lengths, dtype=np.int64)
        count = len(self._lengths)
        check_sizes(1, rows, world)
        if not count:
            raise DataError("there are no examples to train on")
        batches = -(-count // rows)
        if count // batches < world:
            raise DataError(
                "a batch would leave a process without a row",
                received=f"{count:,} examples, at most {rows} a batch: {count // batches} rows for {world} processes",
                fix="set more rows, give more examples, or start fewer processes",
            )
        self._edges = np.arange(batches + 1) * count // batches
        self._collate = collate
        self._epoch, self._deal = -1, np.empty(0, dtype=np.int64)
        identity: dict[str, Any] = {"source": "bucketed", "data": fingerprint, "rows": rows}
        super().__init__(identity, items=batches, items_per_batch=1, seed=seed, rank=rank, world=world)

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> BatchType:
        epoch = int(epochs[0])
        if epoch != self._epoch:
            self._epoch, self._deal = epoch, self._dealt(epoch)
        (number,) = shuffled(places, self._items, seed=_stream(self._seed, _CUTS), epochs=epochs)
        rows = self._deal[self._edges[number] : self._edges[number + 1]]
        share = self._share(len(rows))
        # Of the whole batch, so that its width does not depend on how many processes share it.
        return self._collate(rows).part(share.start, share.stop)

    def _dealt(self, epoch: int) -> np.ndarray:
        """The examples in the order that batches of ``epoch`` are cut from: by length within a pool."""
        count = len(self._lengths)
        epochs = np.full(count, epoch, dtype=np.int64)
        order = shuffled(np.arange(count), count, seed=_stream(self._seed, _ORDER), epochs=epochs)
        pools = self._edges[::_BATCHES_A_POOL][1:]
        for pool in np.split(order, pools[pools < count]):
            pool[:] = pool[np.argsort(self._lengths[pool], kind="stable")]
        return order


def _stream(seed: int, which: int) -> int:
    """A seed of its own for each of the two orders."""
    return 2 * seed + which
