"""Labelled texts as batches of about one length: with a class for each row, or with the tokens to be predicted marked.

source = labelled_source([[5, 6], [8, 9, 7]], [0, 1], rows=32)       # LabelledBatch
source = examples_source([Example(...), ...], rows=32)                # CausalBatch, an example a row
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from trivium.data.batches import CausalBatch, LabelledBatch
from trivium.data.bucketed import BucketedSource
from trivium.data.examples import Example
from trivium.data.padding import padded
from trivium.data.shards import Ids, TokenStore


def labelled_source(
    texts: Sequence[Ids], classes: Sequence[int], *, rows: int, seed: int = 0, rank: int = 0, world: int = 1
) -> BucketedSource[LabelledBatch]:
    """Batches of ``texts``, each of at least one id, with the class of each.

    Raises:
        DataError: there are no texts, or fewer than processes.
        ConfigError: there are fewer rows than ranks.
    """
    assert len(texts) == len(classes), f"{len(texts)} texts, {len(classes)} classes"
    return BucketedSource(
        [len(text) for text in texts],
        partial(labelled_batch, texts, classes),
        fingerprint=_fingerprint(texts, [[each] for each in classes]),
        rows=rows,
        seed=seed,
        rank=rank,
        world=world,
    )


def examples_source(
    examples: Sequence[Example], *, rows: int, seed: int = 0, rank: int = 0, world: int = 1
) -> BucketedSource[CausalBatch]:
    """Batches of ``examples``, each of at least two ids, the loss on those marked as trained.

    Beside `trivium.data.examples.ExamplesSource`, which packs several into a row, a batch holds a fixed number of
    examples here: what is compared by the number of examples sees as many in a step. Raises as `labelled_source`.
    """
    return BucketedSource(
        [len(example.ids) - 1 for example in examples],
        partial(examples_batch, examples),
        fingerprint=_fingerprint([example.ids for example in examples], [example.trained for example in examples]),
        rows=rows,
        seed=seed,
        rank=rank,
        world=world,
    )


def labelled_batch(texts: Sequence[Ids], classes: Sequence[int], indices: Sequence[int] | np.ndarray) -> LabelledBatch:
    """The texts at ``indices`` as one batch."""
    tokens, lengths = padded([texts[index] for index in indices])
    return LabelledBatch(tokens=tokens, lengths=lengths, labels=torch.tensor([classes[index] for index in indices]))


def examples_batch(examples: Sequence[Example], indices: Sequence[int] | np.ndarray) -> CausalBatch:
    """The examples at ``indices`` as one batch, each in a row of its own."""
    ids, lengths = padded([examples[index].ids for index in indices])
    trained, _ = padded([examples[index].trained for index in indices])
    return CausalBatch(
        tokens=ids[:, :-1].contiguous(),
        targets=ids[:, 1:].contiguous(),
        mask=trained[:, 1:].bool(),
        lengths=lengths - 1,  # the last id is only a target
    )


def _fingerprint(texts: Sequence[Ids], marks: Sequence[Ids]) -> str:
    # The vocabulary only decides how ids are stored: any id that there may be fits.
    return "+".join(TokenStore.of(each, vocabulary_size=1 << 32).fingerprint for each in (texts, marks))
