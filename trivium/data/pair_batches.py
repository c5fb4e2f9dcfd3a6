"""Texts that belong together as batches, to be told from the other pairs of their batch.

source = pairs_source(questions, answers, rows=64)              # ContrastiveBatch
source = pairs_source(texts, texts, rows=64)                    # every text with itself: SimCSE
source = pairs_source(premises, entailed, contradictions, rows=64)
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from trivium.data.batches import ContrastiveBatch, Texts
from trivium.data.bucketed import BucketedSource
from trivium.data.padding import padded
from trivium.data.shards import Ids, TokenStore
from trivium.errors import ConfigError


def pairs_source(
    first: Sequence[Ids], second: Sequence[Ids], negatives: Sequence[Ids] | None = None, *, rows: int, seed: int = 0
) -> BucketedSource[ContrastiveBatch]:
    """Batches of pairs of about one length: ``first[i]`` belongs to ``second[i]``, and ``negatives[i]`` to neither.

    Of one process: what belongs to different processes cannot be told apart.

    Raises:
        DataError: there are no pairs.
        ConfigError: there are fewer than two rows, or pairs, in a batch.
    """
    sides = [first, second] if negatives is None else [first, second, negatives]
    assert len({len(side) for side in sides}) == 1, f"{[len(side) for side in sides]} texts a side"
    if rows < 2 or len(first) == 1:
        raise ConfigError(
            "a text is told from the others of its batch",
            received=f"{rows} rows a batch, {len(first)} pairs",
            expected="two rows or more, and as many pairs",
        )
    # The vocabulary only decides how ids are stored: any id that there may be fits.
    prints = [TokenStore.of(side, vocabulary_size=1 << 32).fingerprint for side in sides]
    return BucketedSource(
        [sum(map(len, texts)) for texts in zip(*sides, strict=True)],
        partial(pairs_batch, first, second, negatives),
        fingerprint="+".join(prints),
        rows=rows,
        seed=seed,
    )


def pairs_batch(
    first: Sequence[Ids],
    second: Sequence[Ids],
    negatives: Sequence[Ids] | None,
    indices: Sequence[int] | np.ndarray,
) -> ContrastiveBatch:
    """The pairs at ``indices`` as one whole batch."""

    def texts(side: Sequence[Ids]) -> Texts:
        return Texts(*padded([side[index] for index in indices]))

    return ContrastiveBatch(
        first=texts(first),
        second=texts(second),
        whole=torch.full((len(indices),), len(indices)),
        negatives=None if negatives is None else texts(negatives),
    )
