"""What probes learn from and are measured on: two sides of a file, small enough to be done soon, and apart by words."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from trivium.data.conll import read_conll
from trivium.data.labelled import read_labelled, stratified_split
from trivium.errors import DataError

Example = TypeVar("Example")
_HELD_OUT = 1 / 3
_OUTSIDE = "O"

LabelledText = tuple[str, str]
"""A text and its label."""
LabelledWords = tuple[tuple[str, ...], tuple[str, ...]]
"""The words of a sentence, and the label of each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sides(Generic[Example]):
    """Examples of one kind."""

    train: list[Example]
    """What probes learn from."""
    held_out: list[Example]
    """What they are measured on; no text of it is in ``train``."""
    classes: dict[str, tuple[int, int]]
    """How many texts, or words, of each label there are on each side."""
    outside: str | None = None
    """The label that marks nothing."""
    left_out: int = 0
    """Held-out sentences that have a label which none of ``train`` has: a probe cannot know it."""

    def facts(self) -> dict[str, Any]:
        """In plain values."""
        return {"learnt": len(self.train), "held_out": len(self.held_out), "classes": self.classes}


def texts_to_probe(
    path: Path, *, limit: int, seed: int, text_field: str | None = None, label_field: str = "label"
) -> Sides[LabelledText]:
    """At most ``limit`` texts to learn from and half as many others, drawn of what `read_labelled` reads.

    Copies of a text stand on one side. Raises ``DataError`` for a file that cannot be read or has one label only.
    """
    examples = read_labelled(path, text_field=text_field, label_field=label_field)
    rest, held = stratified_split(examples, _HELD_OUT)
    train = [(each.text, each.label) for each in _drawn(rest, limit, seed)]
    held_out = [(each.text, each.label) for each in _drawn(held, max(1, limit // 2), seed)]
    classes = _classes([label for _, label in train], [label for _, label in held_out])
    _check(path, classes)
    known = {label for _, label in train}
    kept = [each for each in held_out if each[1] in known]
    return Sides(train=train, held_out=kept, classes=classes, left_out=len(held_out) - len(kept))


def sentences_to_probe(path: Path, *, limit: int, seed: int) -> Sides[LabelledWords]:
    """At most ``limit`` sentences of a CoNLL file to learn from and half as many others, drawn by chance.

    Where tags mark spans a word's label is the type of the span that it is in, else "O"; other tags are labels as they
    are. Sentences of the same words stand on one side. Raises ``DataError`` for a file that cannot be read, or that has
    too little to split.
    """
    file = read_conll(path)
    of_spans = file.scheme is not None
    by_words = {each.words: tuple(_type(tag) if of_spans else tag for tag in each.tags) for each in file.sentences}
    every = _drawn(list(by_words.items()), len(by_words), seed)
    held_count = min(limit // 2, int(_HELD_OUT * len(every)))
    held_out, train = every[:held_count], every[held_count : held_count + limit]
    known = {label for _, labels in train for label in labels}
    kept = [each for each in held_out if known.issuperset(each[1])]
    classes = _classes(*([label for _, labels in side for label in labels] for side in (train, kept)))
    _check(path, classes)
    outside = _OUTSIDE if of_spans and _OUTSIDE in known else None
    return Sides(train=train, held_out=kept, classes=classes, outside=outside, left_out=held_count - len(kept))


def _type(tag: str) -> str:
    return tag.partition("-")[2] or tag


def _drawn(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """At most ``count`` of them by chance, in the order in which they were drawn."""
    order = np.random.default_rng(seed).permutation(len(examples))[:count]
    return [examples[place] for place in order.tolist()]


def _classes(train: Sequence[str], held_out: Sequence[str]) -> dict[str, tuple[int, int]]:
    counts = Counter(train), Counter(held_out)
    return {label: (counts[0][label], counts[1][label]) for label in sorted(counts[0] | counts[1])}


def _check(path: Path, classes: dict[str, tuple[int, int]]) -> None:
    learnt = [label for label, (count, _) in classes.items() if count]
    if len(learnt) < 2 or sum(held for _, held in classes.values()) < 2:
        raise DataError(
            "there is too little to probe",
            received=f"{path}: {len(learnt)} labels to learn, {sum(held for _, held in classes.values())} held out",
            expected="two labels or more, and two examples held out",
            fix="give a larger file, or a larger --limit",
        )
