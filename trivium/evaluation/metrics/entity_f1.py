"""Strict F1 of named entities: right are an entity's first word, its last word and its type, or nothing.

As in CoNLL-2003 (Tjong Kim Sang and De Meulder 2003), over entities, not tags; read strictly, as seqeval does with
`mode="strict"`: an entity that its tags do not spell from beginning to end, such as one that begins with "I-", is none.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trivium.errors import DataError
from trivium.evaluation.metrics import checks
from trivium.evaluation.metrics.precision_recall_f1 import averages, shares

SCHEMES = {"iob2": "BIO", "bio": "BIO", "iobes": "BIOES"}
"""IOB2, also called BIO: B- begins an entity, I- goes on. IOBES: E- ends one of several words, S- is one of one."""

Entity = tuple[str, int, int]
"""Type, first word, one past the last word."""


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


def entities(tags: Sequence[str], *, scheme: str = "iob2") -> list[Entity]:
    """The entities that the tags of one sentence spell. Raises `DataError` for a tag that is none of the scheme."""
    found: list[Entity] = []
    kind, start = "", -1  # of the entity that is open
    ends = "E" in SCHEMES[scheme]  # an entity must be closed by a tag of its own
    for index, (letter, current) in enumerate([*(_parts(tag, scheme) for tag in tags), ("O", "")]):
        if start >= 0 and letter in "IE" and current == kind:
            if letter == "E":
                found.append((kind, start, index + 1))
                start = -1
            continue
        if start >= 0 and not ends:
            found.append((kind, start, index))
        kind, start = current, index if letter == "B" else -1
        if letter == "S":
            found.append((current, index, index + 1))
    return found


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
        yield set(entities(given, scheme=scheme)), set(entities(true, scheme=scheme))


def _parts(tag: str, scheme: str) -> tuple[str, str]:
    letter, _, kind = tag.partition("-") if isinstance(tag, str) else ("", "", "")
    if len(letter) != 1 or letter not in SCHEMES[scheme] or (letter == "O") != (kind == ""):
        raise DataError(
            f"a tag is none of the scheme {scheme}",
            received=repr(tag),
            expected="O, or one of " + ", ".join(f"{letter}-TYPE" for letter in SCHEMES[scheme] if letter != "O"),
        )
    return letter, kind
