"""What is said of answers, checked: ranks, scores and labels, by one criterion or several."""

import math
from collections.abc import Mapping
from typing import Any

from trivium.data.conversations import Unusable
from trivium.data.preferences.judged import ranks_of

_YES, _NO = ("true", "yes", "good", "1"), ("false", "no", "bad", "0")
_SHOWN = 60


def finite(value: Any, name: str) -> float:
    """The finite number that a field holds, also where it is spelt, as in a table. Raises `Unusable`."""
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Unusable(f"a {name} that is no finite number: {value!r}"[:_SHOWN])
    return number


def label_of(value: Any) -> bool:
    """Good or bad. Raises `Unusable`."""
    word = str(value).strip().lower()
    if not isinstance(value, bool | int | str) or word not in (*_YES, *_NO):
        raise Unusable(f"a label that is neither true nor false: {value!r}"[:_SHOWN])
    return word in _YES


def ranks_by_criterion(value: Any, count: int, criterion: str) -> dict[str, tuple[int, ...]]:
    """Criterion -> ranks, from a list of them, which is by ``criterion``, or from one for each criterion.

    Raises `Unusable` where there are not ``count`` of them, or where they are no ranks.
    """
    return {name: ranks_of(numbers) for name, numbers in scores_by_criterion(value, count, criterion, "rank").items()}


def scores_by_criterion(value: Any, count: int, criterion: str, what: str = "score") -> dict[str, tuple[float, ...]]:
    """Criterion -> a finite number for each of ``count`` answers; of one answer also without a list.

    Raises `Unusable` where there are not so many, or where one is no number.
    """
    each = {str(name): numbers for name, numbers in value.items()} if isinstance(value, Mapping) else {criterion: value}
    # A table of several criteria has every column in every row, empty where nothing was said.
    each = {name: numbers for name, numbers in each.items() if numbers is not None}
    if not each:
        raise Unusable(f"no {what} in it")
    return {name: _numbers(numbers, count, what) for name, numbers in each.items()}


def _numbers(value: Any, count: int, what: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value]
    if len(numbers) != count:
        raise Unusable(f"{len(numbers)} {what}s of {count} answers")
    return tuple(finite(number, what) for number in numbers)
