"""The texts that a classifier is trained and measured on."""

import collections
import dataclasses
import functools
import sys

from trivium.data.labelled import (
    LabelledText,
    labels_of,
    read_labelled,
    split_by_text,
    stratified_split,
    without_copies,
)
from trivium.errors import DataError
from trivium.recipes.classification_config import ClassificationConfig

_HELD_OUT = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Texts:
    """What is trained and measured on."""

    training: list[LabelledText]
    """In the order of their source."""
    held_out: list[LabelledText]
    """None of them is a copy of one of `training`."""
    labels: tuple[str, ...]
    """Sorted; the place of a label is its class. Of numbers the one name that they have together."""

    @property
    def prior(self) -> tuple[float, ...]:
        """The share of each label in `training`."""
        counts = collections.Counter(text.label for text in self.training)
        return tuple(counts[label] / len(self.training) for label in self.labels)


def read_texts(config: ClassificationConfig, *, tell: bool = False) -> Texts:
    """The texts to train and to measure on. Raises `DataError` for what cannot be read or used, with its place.

    Training texts that the validation has as well are left out; with `tell` their number is printed to stderr.
    """
    read = functools.partial(
        read_labelled,
        text_field=config.text_field,
        second_field=config.second_field,
        label_field=config.label_field,
        columns=config.columns,
        encoding=config.encoding,
    )
    training = read(config.data)
    held_out = None if config.validation is None else read(config.validation)
    labels = _numbers_named(config, training, held_out) if config.regression else _labels(config, training)
    if held_out is None:
        return _shared_out(config, training, labels)
    strange = next((text for text in held_out if not config.regression and text.label not in labels), None)
    if strange is not None:
        raise DataError(
            "a text to measure on has a label that no training text has",
            received=f"{strange.where}: {strange.label!r}",
            expected=", ".join(labels[:20]),
        )
    kept = without_copies(training, held_out)
    if tell and len(kept) < len(training):
        copies = len(training) - len(kept)
        print(f"{copies:,} of {len(training):,} texts are in the validation too and are left out", file=sys.stderr)
    if not kept or (not config.regression and set(labels_of(kept)) != set(labels)):
        raise DataError("all texts of a label are in the validation too", received=config.validation)
    return Texts(training=kept, held_out=held_out, labels=labels)


def _shared_out(config: ClassificationConfig, texts: list[LabelledText], labels: tuple[str, ...]) -> Texts:
    """A tenth of the texts is held out."""
    if config.regression:
        training, held_out = split_by_text(texts, _HELD_OUT)
        if not training:
            raise DataError("there are too few texts to hold any out", received=config.data, fix="give a validation")
        return Texts(training=training, held_out=held_out, labels=labels)
    training, held_out = stratified_split(texts, _HELD_OUT)
    left = labels_of(training)
    if left != labels:
        raise DataError(
            "a label has only texts that another label has too, so none of it is left to train on",
            received=", ".join(sorted(set(labels) - set(left))),
            fix="correct the labels of these texts, or give a validation of your own",
        )
    return Texts(training=training, held_out=held_out, labels=labels)


def _labels(config: ClassificationConfig, training: list[LabelledText]) -> tuple[str, ...]:
    """The labels, where they can be learnt."""
    labels = labels_of(training)
    if len(labels) < 2:
        raise DataError(
            "there is only one label, so there is nothing to tell apart",
            received=f"{config.data}: {len(training):,} texts, all labelled {training[0].label!r}",
            fix="check label_field",
        )
    if len(labels) > max(2, len(training) // 2):
        raise DataError(
            "most texts have a label of their own, so there is nothing to learn",
            received=f"{config.data}: {len(labels):,} labels for {len(training):,} texts",
            fix="check label_field, or set regression where they are numbers",
        )
    return labels


def _numbers_named(
    config: ClassificationConfig, training: list[LabelledText], held_out: list[LabelledText] | None
) -> tuple[str, ...]:
    """The name of the numbers, where every label is one and they differ."""
    numbers = [text.number for text in (*training, *(held_out or ()))]  # refused where one is none
    if len(set(numbers[: len(training)])) < 2:
        raise DataError(
            "all numbers are equal, so there is nothing to learn",
            received=f"{config.data}: {len(training):,} texts of {numbers[0]:g}",
            fix="check label_field",
        )
    return (config.label_field,)
