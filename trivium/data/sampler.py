"""Where training batches come from: infinite, shuffled by seed, resumable to the exact batch, alike at any world size.

A source yields one *global* batch after another. Its items (packed rows, windows, pairs) are shuffled anew in every
epoch; a batch that reaches the end of an epoch is filled from the beginning of the next, so all batches have the same
number of rows and within an epoch no item is lost or repeated. Rank r of w takes its contiguous share of the rows of
each global batch: whatever w is, the same global batches are trained on, in the same order. For the same reason a
state holds a single number, the items consumed, and may be resumed at another world size.

    source = PackedSource(TokenStore.open("data/train"), context_tokens=256, rows=8, seed=0)
    batch = next(source)                       # CausalBatch, 8 x 256
    state = source.state_dict()                # JSON
    source.load_state_dict(state)              # next(source) is again the second batch
"""

import numpy as np
import torch

from trivium.data.batches import CausalBatch
from trivium.data.order import shuffled
from trivium.data.packing import collate, document_pieces, pack
from trivium.data.resumable import BatchSource, ShuffledSource, check_enough, check_sizes, identity_of
from trivium.data.shards import TokenStore
from trivium.data.windows import Windows

__all__ = ["BatchSource", "PackedSource", "StreamSource", "WindowSource"]


class PackedSource(ShuffledSource[CausalBatch]):
    """Documents packed in rows; attention stays within a document, and every token but its first is a target."""

    def __init__(
        self, store: TokenStore, *, context_tokens: int, rows: int, seed: int = 0, rank: int = 0, world: int = 1
    ):
        """``rows`` of ``context_tokens`` make one global batch.

        Raises:
            DataError: there is less text than one window.
            ConfigError: there are fewer rows than ranks.
        """
        check_sizes(context_tokens, rows, world)
        check_enough(store, context_tokens)
        self._store, self._context_tokens = store, context_tokens
        self._pieces = document_pieces(store.boundaries, context_tokens)
        self._packing = pack(self._pieces.lengths, context_tokens)
        identity = identity_of("packed documents", store, rows, context_tokens=context_tokens)
        super().__init__(identity, items=self._packing.rows, items_per_batch=rows, seed=seed, rank=rank, world=world)

    @property
    def fill(self) -> float:
        """Fraction of positions that hold a token."""
        return self._packing.fill

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> CausalBatch:
        rows = self._shuffled_share(epochs, places)
        return collate(self._store, self._pieces, self._packing, rows, self._context_tokens)


class WindowSource(ShuffledSource[CausalBatch]):
    """Windows of one long stream of tokens, all documents in a line (`Windows`); for text that is one document, such
    as a book."""

    def __init__(
        self, store: TokenStore, *, context_tokens: int, rows: int, seed: int = 0, rank: int = 0, world: int = 1
    ):
        """``rows`` windows of ``context_tokens`` make one global batch.

        Raises:
            DataError: there is less text than one window.
            ConfigError: there are fewer rows than ranks.
        """
        check_sizes(context_tokens, rows, world)
        check_enough(store, context_tokens)
        self._windows = Windows(store, width=context_tokens + 1, step=context_tokens, seed=seed)
        identity = identity_of("windows", store, rows, context_tokens=context_tokens)
        super().__init__(identity, items=self._windows.count, items_per_batch=rows, seed=seed, rank=rank, world=world)

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> CausalBatch:
        share = self._share(len(places))
        ids = torch.from_numpy(self._windows.read(epochs[share], self._shuffled_share(epochs, places)))
        return CausalBatch(
            tokens=ids[:, :-1].contiguous(),
            targets=ids[:, 1:].contiguous(),
            mask=torch.ones(len(ids), ids.shape[1] - 1, dtype=torch.bool),
            lengths=torch.full((len(ids),), ids.shape[1] - 1),
        )


class Strips:
    """The documents of a store in a line, in a new order each epoch, cut in ``rows`` strips that are read side by side.

    At most ``rows`` tokens an epoch are left over.
    """

    def __init__(self, store: TokenStore, *, rows: int, seed: int) -> None:
        self._store, self._rows, self._seed = store, rows, seed
        self.length = (store.num_tokens - 1) // rows
        """Tokens of a strip that have a next one to predict."""
        self._ordered: tuple[int, np.ndarray, np.ndarray] | None = None

    def window(self, epoch: int, begin: int, width: int, share: slice) -> CausalBatch:
        """``width`` tokens of the strips in ``share``, from ``begin`` on; masked beyond the end of the strip."""
        length = min(width, self.length - begin)
        rows = np.arange(self._rows)[share]
        # Beyond the strip the next row's tokens stand: they are masked, and clipped at the end of the text.
        line = np.minimum(rows[:, None] * self.length + begin + np.arange(width + 1), self._store.num_tokens - 1)
        ids = torch.from_numpy(self._store.gather(self._positions(epoch, line)))
        valid = torch.arange(width) < length
        return CausalBatch(
            tokens=ids[:, :-1].contiguous(),
            targets=ids[:, 1:].contiguous(),
            mask=valid.repeat(len(rows), 1),
            lengths=torch.full((len(rows),), length),
            continues=torch.full((len(rows),), begin > 0),
        )

    def _positions(self, epoch: int, line: np.ndarray) -> np.ndarray:
        """Where in the store the tokens stand that this epoch's order of documents puts at ``line``."""
        if self._ordered is None or self._ordered[0] != epoch:
            count = self._store.num_documents
            everything = np.arange(count)
            order = shuffled(everything, count, seed=self._seed, epochs=np.full(count, epoch))
            lengths = np.diff(self._store.boundaries)[order]
            self._ordered = (epoch, self._store.boundaries[:-1][order], np.cumsum(lengths) - lengths)
        _, starts, line_starts = self._ordered
        document = np.searchsorted(line_starts, line, side="right") - 1
        return starts[document] + line - line_starts[document]


class StreamSource(ShuffledSource[CausalBatch]):
    """Contiguous rows for truncated back-propagation: each row of a batch carries on from the same row of the last.

    Every epoch lines the documents up in a new order and cuts the line in ``rows`` strips, read side by side. The
    last batch of an epoch may be shorter: its ``lengths`` say so and its ``mask`` is False beyond. The first batch
    of an epoch has ``continues`` False in all rows. At most ``rows`` tokens an epoch are left over.
    """

    def __init__(
        self, store: TokenStore, *, context_tokens: int, rows: int, seed: int = 0, rank: int = 0, world: int = 1
    ):
        """``rows`` strips, read ``context_tokens`` at a time, make one global batch.

        Raises:
            DataError: there is less text than one window for each row.
            ConfigError: there are fewer rows than ranks.
        """
        check_sizes(context_tokens, rows, world)
        check_enough(store, context_tokens * rows)
        self._width, self._rows = context_tokens, rows
        self._strips = Strips(store, rows=rows, seed=seed)
        identity = identity_of("stream", store, rows, context_tokens=context_tokens)
        items = -(-self._strips.length // context_tokens)
        super().__init__(identity, items=items, items_per_batch=1, seed=seed, rank=rank, world=world)

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> CausalBatch:
        return self._strips.window(int(epochs[0]), int(places[0]) * self._width, self._width, self._share(self._rows))
