"""Rows of varying length for truncated back-propagation (Merity et al. 2018, section 4.1).

Read in windows of one length, the same few tokens stand at the edge of a window in every epoch, and what comes before
an edge never gets a gradient from what comes after it. So the length is drawn for every batch: about the usual one in
95 of 100, about half of it otherwise. The learning rate is to follow the length (`SupervisedConfig.full_rate_tokens`),
or short rows would be given too much weight.
"""

import math
from typing import Any

from trivium.data.batches import CausalBatch
from trivium.data.order import random_number
from trivium.data.resumable import check_enough, check_same, check_sizes, identity_of
from trivium.data.sampler import Strips
from trivium.data.shards import TokenStore

_USUAL_SHARE = 0.95
_DEVIATION_TOKENS = 5.0
_LEAST_TOKENS = 5
_FRACTIONS = 1 << 53


class VariedStreamSource:
    """What `StreamSource` is, with a length of its own for each batch; see `BatchSource` for the methods.

    The length of a batch is a function of the seed and of the place in the text, so a state is one number here too.
    An epoch ends with its text: its last batch is as long as what is left.
    """

    def __init__(
        self, store: TokenStore, *, context_tokens: int, rows: int, seed: int = 0, rank: int = 0, world: int = 1
    ):
        """``rows`` strips make one global batch; ``context_tokens`` is the usual length, 70 in the paper.

        Raises:
            DataError: there is less text than one window for each row.
            ConfigError: there are fewer rows than ranks.
        """
        check_sizes(context_tokens, rows, world)
        check_enough(store, context_tokens * rows)
        assert 0 <= rank < world, f"rank {rank} of {world}"
        self._usual, self._seed = context_tokens, seed
        self._share = slice(rank * rows // world, (rank + 1) * rows // world)
        self._strips = Strips(store, rows=rows, seed=seed)
        self._identity = {**identity_of("varied stream", store, rows, context_tokens=context_tokens), "seed": seed}
        self._consumed = 0

    def __iter__(self) -> "VariedStreamSource":
        return self

    def __next__(self) -> CausalBatch:
        epoch, begin = divmod(self._consumed, self._strips.length)
        width = min(row_length(self._seed, self._consumed, self._usual), self._strips.length - begin)
        self._consumed += width
        return self._strips.window(epoch, begin, width, self._share)

    @property
    def epochs(self) -> float:
        """Passes over the text so far."""
        return self._consumed / self._strips.length

    @property
    def batches_per_epoch(self) -> float:
        """Global batches that make one pass, on average."""
        return self._strips.length / (self._usual * (1 + _USUAL_SHARE) / 2)

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


def row_length(seed: int, place: int, usual: int) -> int:
    """The length drawn at ``place``: N(usual, 5^2) in 95 of 100 draws, else N(usual / 2, 5^2); at least 5 tokens."""
    first, second, third = (random_number(seed, 3 * place + i, _FRACTIONS) / _FRACTIONS for i in range(3))
    mean = usual if first < _USUAL_SHARE else usual / 2
    normal = math.sqrt(-2 * math.log(1 - second)) * math.cos(2 * math.pi * third)  # Box and Muller 1958
    return max(_LEAST_TOKENS, int(mean + _DEVIATION_TOKENS * normal))
