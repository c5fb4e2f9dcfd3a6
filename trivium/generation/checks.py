"""What a setting must be."""

import types
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, get_args, get_origin

from trivium.errors import ConfigError


def require(holds: bool, what: str, *, received: str, expected: str, fix: str) -> None:
    """Raises ``ConfigError`` with these four parts unless the condition ``holds``."""
    if not holds:
        raise ConfigError(what, received=received, expected=expected, fix=fix)


def check_numbers(settings: Any) -> None:
    """For ``__post_init__`` of a dataclass: refuses with ``ConfigError`` what is no number in a field that holds one.

    A field of ``int`` takes whole numbers of every kind, one of ``float`` all real numbers, and ``None`` goes where the
    field permits it; True and False are no numbers. Numbers of other kinds than Python's (numpy's) become Python's,
    which can be shifted without limit and written as JSON.
    """
    for field in fields(settings):
        kinds = get_args(field.type) if get_origin(field.type) is types.UnionType else (field.type,)
        value = getattr(settings, field.name)
        if (value is None and types.NoneType in kinds) or not {int, float} & set(kinds):
            continue
        made = _whole(field.name, value) if int in kinds else _number(field.name, value)
        object.__setattr__(settings, field.name, made)


def _whole(name: str, value: object) -> int:
    return int(_of_kind(Integral, name, value, "a whole number", "4"))


def _number(name: str, value: object) -> float:
    number = _of_kind(Real, name, value, "a number", "0.5")
    return number if isinstance(number, int | float) else float(number)


def _of_kind(kind: type, name: str, value: Any, expected: str, example: str) -> Any:
    require(
        isinstance(value, kind) and not isinstance(value, bool),
        f"{name} is not {expected}",
        received=f"{name}={value!r}",
        expected=expected,
        fix=f"give {expected}, such as {name}={example}",
    )
    return value
