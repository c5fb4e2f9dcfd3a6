"""Labelled texts as batches of about one length: with a class or a number for each row, with the place of an answer in
each, or with the tokens to be predicted marked.

source = labelled_source([[5, 6], [8, 9, 7]], [0, 1], rows=32)       # LabelledBatch
source = labelled_source([[5, 6], [8, 9, 7]], [0.5, 4.0], rows=32)   # the same, for regression
source = span_source([[2, 5, 3, 8, 9]], [(3, 4)], rows=32)           # SpanBatch
source = examples_source([Example(...), ...], rows=32)                # CausalBatch, an example a row
"""

import hashlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from trivium.data.batches import CausalBatch, LabelledBatch, SpanBatch
from trivium.data.bucketed import BucketedSource
from trivium.data.examples import Example
from trivium.data.padding import padded
from trivium.data.shards import Ids, TokenStore
from trivium.errors import DataError

Labels = Sequence[int] | Sequence[float] | Sequence[Sequence[float]]
"""A class index for each text, or a number, or several."""


def labelled_source(
    texts: Sequence[Ids],
    labels: Labels,
    *,
    types: Sequence[Ids] | None = None,
    rows: int,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
) -> BucketedSource[LabelledBatch]:
    """Batches of ``texts``, each of at least one id, with the class of each, or the numbers that are to be estimated.

    ``types`` are the token types of each text, for models that are told which of two joined texts an id belongs to.

    Raises:
        DataError: there are no texts, or fewer than processes; a number is not finite.
        ConfigError: there are fewer rows than ranks.
    """
    assert len(texts) == len(labels), f"{len(texts)} texts, {len(labels)} labels"
    _require_alike(texts, types)
    return BucketedSource(
        [len(text) for text in texts],
        partial(labelled_batch, texts, labels, types=types),
        fingerprint=_joined(_fingerprint(texts), _fingerprint_of_labels(labels), types),
        rows=rows,
        seed=seed,
        rank=rank,
        world=world,
    )


def span_source(
    texts: Sequence[Ids],
    spans: Sequence[tuple[int, int]],
    *,
    types: Sequence[Ids] | None = None,
    rows: int,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
) -> BucketedSource[SpanBatch]:
    """Batches of ``texts`` with the first and the last position of the answer in each; ``types`` and errors as
    `labelled_source`."""
    assert len(texts) == len(spans), f"{len(texts)} texts, {len(spans)} spans"
    outside = [i for i, (start, end) in enumerate(spans) if not 0 <= start <= end < len(texts[i])]
    if outside:
        raise DataError(
            "an answer lies outside its text",
            received=f"positions {spans[outside[0]][0]} to {spans[outside[0]][1]} of {len(texts[outside[0]])}",
            expected="0 <= first <= last < length",
        )
    _require_alike(texts, types)
    return BucketedSource(
        [len(text) for text in texts],
        partial(span_batch, texts, spans, types=types),
        fingerprint=_joined(_fingerprint(texts), _fingerprint(spans), types),
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
        fingerprint=_joined(
            _fingerprint([example.ids for example in examples]),
            _fingerprint([example.trained for example in examples]),
            None,
        ),
        rows=rows,
        seed=seed,
        rank=rank,
        world=world,
    )


def labelled_batch(
    texts: Sequence[Ids],
    labels: Labels,
    indices: Sequence[int] | np.ndarray,
    *,
    types: Sequence[Ids] | None = None,
) -> LabelledBatch:
    """The texts at ``indices`` as one batch; labels that are no whole numbers are float32."""
    tokens, lengths = padded([texts[index] for index in indices])
    return LabelledBatch(
        tokens=tokens,
        lengths=lengths,
        labels=torch.tensor([labels[index] for index in indices]),
        token_types=_chosen(types, indices),
    )


def span_batch(
    texts: Sequence[Ids],
    spans: Sequence[tuple[int, int]],
    indices: Sequence[int] | np.ndarray,
    *,
    types: Sequence[Ids] | None = None,
) -> SpanBatch:
    """The texts at ``indices`` as one batch."""
    tokens, lengths = padded([texts[index] for index in indices])
    starts, ends = torch.tensor([spans[index] for index in indices]).unbind(1)
    return SpanBatch(tokens=tokens, lengths=lengths, starts=starts, ends=ends, token_types=_chosen(types, indices))


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


def _chosen(types: Sequence[Ids] | None, indices: Sequence[int] | np.ndarray) -> torch.Tensor | None:
    return None if types is None else padded([types[index] for index in indices])[0]


def _require_alike(texts: Sequence[Ids], types: Sequence[Ids] | None) -> None:
    if types is not None:
        assert list(map(len, texts)) == list(map(len, types)), "every id of every text has a type"


def _joined(texts: str, marks: str, types: Sequence[Ids] | None) -> str:
    return "+".join([texts, marks] if types is None else [texts, marks, _fingerprint(types)])


def _fingerprint_of_labels(labels: Labels) -> str:
    numbers = np.asarray(labels)
    if numbers.dtype.kind != "f":
        return _fingerprint([[each] for each in numbers.tolist()])
    if not np.isfinite(numbers).all():
        raise DataError("a number to estimate is not finite", received=f"text {int((~np.isfinite(numbers)).argmax())}")
    return hashlib.sha256(numbers.tobytes()).hexdigest()


def _fingerprint(texts: Sequence[Ids]) -> str:
    # The vocabulary only decides how ids are stored: any id that there may be fits.
    return TokenStore.of(texts, vocabulary_size=1 << 32).fingerprint
