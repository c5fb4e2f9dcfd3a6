"""What every metric asks of its input, and how figures of single examples become one figure."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trivium.errors import DataError

Label = str | int
Labels = Sequence[Label] | np.ndarray
References = Sequence[str] | Sequence[Sequence[str]]
"""One text an example, or several that are equally right."""


def count(predictions: object, references: object, names: tuple[str, str] = ("predictions", "references")) -> int:
    """How many examples there are. Raises `DataError` unless both are lists of one length, and not empty."""
    sizes = []
    for name, values in zip(names, (predictions, references), strict=True):
        if isinstance(values, str | bytes) or not isinstance(values, Sequence | np.ndarray):
            raise DataError(
                f"the {name} are no list", received=type(values).__name__, expected="a list with one item an example"
            )
        sizes.append(len(values))
    if sizes[0] != sizes[1]:
        raise DataError(
            f"{names[0]} and {names[1]} do not belong together",
            received=f"{sizes[0]} {names[0]}, {sizes[1]} {names[1]}",
            expected="as many of one as of the other",
        )
    if not sizes[0]:
        raise DataError("there is nothing to score", received=f"no {names[0]}", fix="check that the data was read")
    return sizes[0]


def texts(predictions: Sequence[str], references: References) -> list[tuple[str, list[str]]]:
    """Each prediction with its references, of which there is at least one. Raises `DataError` for anything else."""
    count(predictions, references)
    pairs = []
    for index, (prediction, wanted) in enumerate(zip(predictions, references, strict=True)):
        accepted = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(accepted, Sequence) or not accepted:
            raise _wrong(index, "the reference", wanted, "a text, or a list of at least one")
        for text in (prediction, *accepted):
            if not isinstance(text, str):
                raise _wrong(index, "what is scored", text, "a text")
        pairs.append((prediction, list(accepted)))
    return pairs


def only_texts(predictions: Sequence[str]) -> list[str]:
    """`predictions`, where there is nothing to compare them with."""
    return [prediction for prediction, _ in texts(predictions, predictions)]


def labels(predictions: Labels, references: Labels) -> tuple[list, list]:
    """Two lists of labels of one type. "1" is not 1: a mixture would score 0 and say nothing, so it is refused."""
    count(predictions, references)
    given, wanted = (_labels(values) for values in (predictions, references))
    kinds = {type(label).__name__ for label in (*given, *wanted)}
    if len(kinds) > 1:
        raise DataError(
            "labels of two types are never equal",
            received=" and ".join(sorted(kinds)),
            expected="only texts or only whole numbers",
        )
    return given, wanted


def numbers(values: Sequence[float] | Sequence[Sequence[float]] | np.ndarray, name: str) -> np.ndarray:
    """`values` as float64. Raises `DataError` for anything that is no finite number."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the {name} are not all numbers", received=str(error), expected="numbers") from None
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        index = tuple(int(i) for i in wrong[0])
        raise DataError(
            f"the {name} hold {len(wrong)} values that are no finite number",
            received=f"{array[index]} at {', '.join(map(str, index))}",
            expected="finite numbers",
        )
    return array


def choose(what: str, received: object, choices: Sequence[object]) -> None:
    """Raises `DataError` unless `received` is one of `choices`."""
    if received not in choices:
        raise DataError(f"there is no such {what}", received=repr(received), expected=", ".join(map(str, choices)))


def at_least_one(name: str, value: int) -> None:
    """Raises `DataError` unless the option `name` is a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DataError(f"{name} must be a whole number above 0", received=repr(value), expected="1 or more")


def means(figures: Mapping[str, list[float]], per_example: bool) -> dict[str, Any]:
    """The mean of each figure over the examples; with `per_example` the figures themselves as well."""
    result: dict[str, Any] = {name: sum(values) / len(values) for name, values in figures.items()}
    return result | ({"per_example": dict(figures)} if per_example else {})


def _labels(values: Labels) -> list[Label]:
    checked: list[Label] = []
    for index, label in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        if isinstance(label, str):
            checked.append(str(label))
            continue
        try:
            checked.append(operator.index(label))
        except TypeError:
            raise _wrong(index, "the label", label, "a text or a whole number") from None
    return checked


def _wrong(index: int, what: str, received: object, expected: str) -> DataError:
    numbers = isinstance(received, int | np.integer) and "text" in expected
    return DataError(
        f"{what} of example {index} cannot be used",
        received=repr(received)[:100],
        expected=expected,
        fix="for classes as numbers take accuracy, mcc or precision_recall_f1" if numbers else None,
    )
