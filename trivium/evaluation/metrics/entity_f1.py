"""Strict F1 of named entities: right are an entity's first word, its last word and its type, or nothing.

As in CoNLL-2003 (Tjong Kim Sang and De Meulder 2003), over entities, not tags; read strictly, as seqeval does with
`mode="strict"`: an entity that its tags do not spell from beginning to end, such as one that begins with "I-", is none.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trivium.data.spans import SCHEMES, Entity, spans
from trivium.errors import DataError
from trivium.evaluation.metrics import checks
from trivium.evaluation.metrics.precision_recall_f1 import averages, shares


def entity_f1(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, scheme: str = "iob2"
) -> dict[str, Any]:
    """{"precision", "recall", "f1"} over all entities, "..._macro" and "..._weighted" means over types, "per_type".

    A list of tags such as "B-person" for each sentence. Raises `DataError` for tags that are none of the `scheme`, and
    for sentences with more or fewer tags than words.
    """
    found, wanted, right = Counter[str](), Counter[str](), Counter[str]()
    for predicted, true in _by_sentence(predictions, references, scheme):
        for counter, some in ((found, predicted), (wanted, true), (right, predicted & true)):
            counter.update(kind for kind, _, _ in some)
    types = sorted({*found, *wanted})
    per_type = {kind: shares(right[kind], found[kind], wanted[kind]) for kind in types}
    mean = averages(per_type, right, found)
    return {name.removesuffix("_micro"): value for name, value in mean.items()} | {"per_type": per_type}


def entity_counts(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, scheme: str = "iob2"
) -> np.ndarray:
    """Entities that are right, that were predicted and that are true, a row a sentence, [N, 3].

    `trivium.evaluation.intervals` sums them: F1 of a corpus, `f1_of`, is no mean over its sentences.
    """
    sets = _by_sentence(predictions, references, scheme)
    return np.array([[len(predicted & true), len(predicted), len(true)] for predicted, true in sets])


def f1_of(sums: np.ndarray) -> np.ndarray:
    """F1 [...] from sums of `entity_counts` [..., 3]."""
    return np.asarray(2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1))


def _by_sentence(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], scheme: str
) -> Iterator[tuple[set[Entity], set[Entity]]]:
    """The predicted and the true entities of each sentence."""
    checks.choose("tag scheme", scheme, tuple(SCHEMES))
    checks.count(predictions, references)
    for index, (given, true) in enumerate(zip(predictions, references, strict=True)):
        if len(given) != len(true):
            raise DataError(
                f"sentence {index} has not as many predicted tags as true ones",
                received=f"{len(given)} predicted, {len(true)} true",
                fix="give one tag a word: that of its first piece",
            )
        yield set(spans(given, scheme=scheme)), set(spans(true, scheme=scheme))
