"""Batches that score a text once: every token but the first of each document is a target exactly once."""

from collections.abc import Iterator

import numpy as np

from trivium.data.batches import CausalBatch
from trivium.data.packing import collate, document_pieces, pack
from trivium.data.shards import TokenStore
from trivium.errors import DataError


def evaluation_batches(
    store: TokenStore,
    *,
    context_tokens: int,
    rows: int,
    stride: int | None = None,
) -> Iterator[CausalBatch]:
    """All documents of ``store`` in order of length, packed; the last batch may have fewer rows.

    Bits per byte is the sum of the losses in nats, over all batches, divided by
    ``log(2) * store.num_bytes``. The EOS after each document is scored too and adds no byte, so the figure is slightly
    pessimistic.

    Args:
        context_tokens: window; a target sees at most this many tokens.
        rows: rows of a batch.
        stride: targets scored by each window; below ``context_tokens`` each sees at least ``context_tokens - stride``
            earlier tokens, which costs ``context_tokens / stride`` times as much and lowers the loss. Say which is
            quoted.

    Raises:
        DataError: the store has no document of two tokens.
    """
    pieces = document_pieces(store.boundaries, context_tokens, stride)
    if len(pieces.lengths) == 0:
        raise DataError(
            "there is no text to evaluate on",
            received=f"{store.num_documents} documents, {store.num_tokens} tokens",
            fix="hold out more documents",
        )
    packing = pack(pieces.lengths, context_tokens)
    for start in range(0, packing.rows, rows):
        chosen = np.arange(start, min(start + rows, packing.rows))
        yield collate(store, pieces, packing, chosen, context_tokens)


def scored_tokens(store: TokenStore) -> int:
    """Targets that one pass of `evaluation_batches` scores, whatever its window and stride."""
    return int(np.maximum(np.diff(store.boundaries) - 1, 0).sum())
