"""Windows of one long line of tokens, all documents of a store after one another.

Each epoch draws a first offset and covers the line from there by adjoining windows, in shuffled order: every token is
read equally often and, over the epochs, at every place of a window.
"""

import numpy as np

from trivium.data.order import random_number
from trivium.data.shards import TokenStore


class Windows:
    """Where the windows of each epoch begin."""

    def __init__(self, store: TokenStore, *, width: int, step: int, seed: int):
        """Windows of ``width`` tokens begin ``step`` tokens apart; the store holds at least one of them."""
        assert store.num_tokens >= width >= step >= 1, f"{store.num_tokens} tokens, windows of {width}"
        self._store, self._width, self._step, self._seed = store, width, step, seed
        line = store.num_tokens - (width - step)  # a last window reads on by so much
        self._first_offsets = min(step, line - step + 1)
        self.count = (line - self._first_offsets + 1) // step
        """Windows of an epoch."""

    def read(self, epochs: np.ndarray, items: np.ndarray) -> np.ndarray:
        """The tokens of window ``items[n]`` of epoch ``epochs[n]``, [n, width]."""
        first = {int(epoch): random_number(self._seed, int(epoch), self._first_offsets) for epoch in np.unique(epochs)}
        starts = items * self._step + np.array([first[int(epoch)] for epoch in epochs], dtype=np.int64)
        return self._store.gather(starts[:, None] + np.arange(self._width))
