"""Pairs of source and target as batches: translation, summaries, any text written for another.

source = Seq2SeqSource([([5, 6], [8, 9]), ...], start_id=1, eos_id=2, rows=64)
batch = next(source)                # Seq2SeqBatch, of pairs of about one length
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from trivium.data.batches import Seq2SeqBatch
from trivium.data.bucketed import BucketedSource
from trivium.data.shards import Ids, TokenStore
from trivium.data.whole_texts import whole_pairs
from trivium.errors import DataError


class Seq2SeqSource(BucketedSource[Seq2SeqBatch]):
    """Pairs of about one length together, padded at the right to the longest of their batch."""

    def __init__(
        self,
        pairs: Sequence[tuple[Ids, Ids]],
        *,
        start_id: int,
        eos_id: int,
        rows: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ):
        """``pairs`` are (source ids, target ids) without the ids that begin and end a text.

        The decoder reads ``start_id`` and then the target, and is to write the target and then ``eos_id``.

        Raises:
            DataError: no pair, or one with an empty source.
            ConfigError: there are fewer rows than ranks.
        """
        if not pairs:
            raise DataError("there are no pairs to train on", fix="check the source of the pairs")
        empty = [index for index, (source, _) in enumerate(pairs) if len(source) == 0]
        if empty:
            raise DataError("a pair has an empty source", received=f"pair {empty[0]}", fix="remove it")
        sides = ([source for source, _ in pairs], [target for _, target in pairs])
        # The vocabulary only decides how ids are stored: any id that there may be fits.
        stores = [TokenStore.of(side, vocabulary_size=1 << 32) for side in sides]
        # The decoder takes most of the time, so pairs go by their target; the source breaks ties.
        lengths = [(len(target) << 32) + len(source) for source, target in pairs]
        super().__init__(
            lengths,
            partial(seq2seq_batch, pairs, start_id=start_id, eos_id=eos_id),
            fingerprint="+".join([*(store.fingerprint for store in stores), str(start_id), str(eos_id)]),
            rows=rows,
            seed=seed,
            rank=rank,
            world=world,
        )


def seq2seq_batch(
    pairs: Sequence[tuple[Ids, Ids]], indices: Sequence[int] | np.ndarray, *, start_id: int, eos_id: int
) -> Seq2SeqBatch:
    """The pairs at ``indices`` as one batch."""
    chosen = [pairs[index] for index in indices]
    return whole_pairs([source for source, _ in chosen], [[*target, eos_id] for _, target in chosen], start_id)
