"""Batches of whole texts in an order of chance, all as wide as the longest of them.

Where a model is to learn when a text ends, by a discriminator that sees both, no batch may be narrower than another: a
text that is written beside short ones would be cut where they end, and be told by that.
"""

from collections.abc import Sequence

import numpy as np
import torch

from trivium.data.batches import CausalBatch
from trivium.data.resumable import ShuffledSource, check_sizes
from trivium.data.shards import Ids, TokenStore
from trivium.data.whole_texts import whole_texts
from trivium.errors import DataError


class TextRowsSource(ShuffledSource[CausalBatch]):
    """Every text once an epoch, `rows` in each batch as `whole_texts` has them."""

    def __init__(self, texts: Sequence[Ids], *, start: int, rows: int, seed: int = 0) -> None:
        """Raises `DataError` where there are no texts, `ConfigError` for a batch without rows."""
        if not texts:
            raise DataError("there are no texts to train on")
        check_sizes(1, rows, 1)
        self._texts = whole_texts(texts, start)
        store = TokenStore.of(texts, vocabulary_size=1 << 32)  # which only decides how ids are stored
        identity = {"source": "text rows", "data": store.fingerprint, "rows": rows, "start": start}
        super().__init__(identity, items=len(texts), items_per_batch=rows, seed=seed, rank=0, world=1)

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> CausalBatch:
        return self._texts.ordered(torch.from_numpy(self._shuffled_share(epochs, places)))
