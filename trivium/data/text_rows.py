"""Batches of whole texts in an order of chance, all as wide as the longest of them.

Where a model is to learn when a text ends, by a discriminator that sees both, no batch may be narrower than another: a
text that is written beside short ones would be cut where they end, and be told by that.
"""

from collections.abc import Sequence

import numpy as np
import torch

from trivium.data.batches import CausalBatch, Seq2SeqBatch
from trivium.data.resumable import ShuffledSource, check_sizes
from trivium.data.shards import Ids, TokenStore
from trivium.data.whole_texts import whole_pairs, whole_texts
from trivium.errors import DataError


class TextRowsSource(ShuffledSource[CausalBatch | Seq2SeqBatch]):
    """Every text once an epoch, `rows` in each batch as `whole_texts` has them, or `whole_pairs` where there are
    sources."""

    def __init__(
        self, texts: Sequence[Ids], *, start: int, rows: int, seed: int = 0, sources: Sequence[Ids] = ()
    ) -> None:
        """`sources` has one for each text, or none at all. Raises `DataError` where there are no texts, `ConfigError`
        for a batch without rows."""
        if not texts:
            raise DataError("there are no texts to train on")
        check_sizes(1, rows, 1)
        self._texts = whole_pairs(sources, texts, start) if sources else whole_texts(texts, start)
        identity = {"source": "text rows", "data": _fingerprint(texts), "rows": rows, "start": start}
        if sources:
            identity["sources"] = _fingerprint(sources)
        super().__init__(identity, items=len(texts), items_per_batch=rows, seed=seed, rank=0, world=1)

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> CausalBatch | Seq2SeqBatch:
        return self._texts.ordered(torch.from_numpy(self._shuffled_share(epochs, places)))


def _fingerprint(texts: Sequence[Ids]) -> str:
    return TokenStore.of(texts, vocabulary_size=1 << 32).fingerprint  # which only decides how ids are stored
