"""Strict configuration: YAML or a dict becomes a frozen dataclass, or every mistake is told at once.

Nothing is coerced or ignored: an unknown key, a wrong type, a missing field or an impossible combination is refused
before any work starts, each with its dotted path, what was received, what is valid, and the likely meaning of a
misspelling. Configurations live beside what they build; this module knows none of them.
"""

import dataclasses
import difflib
import functools
import pathlib
import re
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import cattrs
import yaml
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from trivium.errors import ConfigError, StorageError, UserError

Config = TypeVar("Config")

_SECRET = re.compile(r"(^|_)(key|secret|password|token)$")
"""Names under which somebody may write what is to be shown nowhere."""


def from_dict(kind: type[Config], mapping: object, *, source: str = "the configuration") -> Config:
    """Builds the dataclass `kind` from plain `mapping`; `source` names it in the message.

    Raises `ConfigError` that tells every mistake found, not only the first.
    """
    built, problems = attempt(kind, mapping, path="")
    if problems:
        raise combined(problems, source)
    return built


def from_yaml(kind: type[Config], path: str | pathlib.Path) -> Config:
    """Builds the dataclass `kind` from a YAML file. Raises `ConfigError`, or `StorageError` if it cannot be read."""
    return from_dict(kind, read_yaml(path), source=str(path))


def read_yaml(path: str | pathlib.Path) -> dict[str, Any]:
    """The mapping in a YAML file, read with the safe loader; an empty file is an empty mapping."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(
            "the configuration file cannot be read",
            received=f"{path} ({error.strerror})",
            fix="check the path and its permissions",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("the configuration file is not UTF-8 text", received=path, expected="YAML") from error
    try:
        mapping = _Loader(text).get_single_data()
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply", expected="a few levels of name: value") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: what looks like a date and is none
        raise ConfigError(f"{path} is not valid YAML", received=error, expected="name: value, one a line") from error
    if mapping is None:
        return {}
    if not isinstance(mapping, dict):
        raise ConfigError(f"{path} is not a mapping", received=_shown(mapping), expected="name: value, one a line")
    return mapping


class _Loader(yaml.SafeLoader):
    """The safe loader, which would let the last of several equal keys win; here they are refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value} is set more than once", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def completed(kind: Any, mapping: Mapping[str, Any], usual: object = None) -> dict[str, Any]:
    """`mapping` for the dataclass `kind`, with what it leaves out of a part taken from the default of that part.

    A field may have another default than its class: `lora: {rank: 16}` changes the rank, and leaves the targets that
    the recipe has by default, as the flag `--lora.rank 16` does. With `usual`, a `kind`, the rest is taken from that.
    """
    kinds = typing.get_type_hints(kind)
    filled = dict(mapping) if usual is None else {**to_dict(usual), **mapping}
    for field in dataclasses.fields(kind):
        given = mapping.get(field.name)
        if isinstance(given, dict):
            of_field = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            part = of_field if usual is None else getattr(usual, field.name)
            if dataclasses.is_dataclass(part) and kinds[field.name] is type(part):
                filled[field.name] = completed(type(part), given, part)
    return filled


def to_dict(config: object) -> dict[str, Any]:
    """The configuration as plain dicts, lists, text and numbers: what `from_dict` reads back to an equal one."""
    return _converter().unstructure(config)


def to_yaml(config: object) -> str:
    """The configuration as YAML, in the order of its fields."""
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def attempt(kind: Any, value: object, *, path: str) -> tuple[Any, list[ConfigError]]:
    """Any annotated type built from a plain value that stands at the dotted `path`, and the mistakes found in it."""
    try:
        return _converter().structure(value, kind), []
    except Exception as error:
        return None, _problems(error, kind, value, path)


def combined(problems: list[ConfigError], source: str) -> ConfigError:
    """One error that tells all `problems` of `source`."""
    assert problems
    if len(problems) == 1:
        only = problems[0]
        return ConfigError(f"{only.what} (in {source})", received=only.received, expected=only.expected, fix=only.fix)
    listing = "\n".join(textwrap.indent(str(problem), "  ") for problem in problems)
    return ConfigError(f"{len(problems)} settings cannot be used in {source}\n{listing}")


def no_such_field(name: str, value: object, kind: type, path: str = "") -> ConfigError:
    """The error for a key of a mapping that is no field of the dataclass `kind`."""
    valid = [field.name for field in dataclasses.fields(kind) if field.init]
    return ConfigError(
        f"{_joined(path, name)}: there is no such setting",
        received="a value that is not shown" if _SECRET.search(name) else _shown(value),
        expected=f"one of {', '.join(valid)}",
        fix=did_you_mean(name, valid),
    )


def did_you_mean(word: str, valid: Iterable[str]) -> str | None:
    """`did you mean ...?`, or None where nothing resembles `word`."""
    near = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None


# --- reading: one strict hook for each kind of value -----------------------------------------------------------------


class _WrongValue(Exception):
    """A value its type does not admit. Never leaves this module."""

    def __init__(self, expected: str, fix: str | None = None):
        super().__init__(expected)
        self.expected = expected
        self.fix = fix


# YAML 1.1 reads 1e-3 as text: it wants 1.0e-3. Nobody writes that.
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def _number(value: object) -> object:
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _integer(value: object, _: type) -> int:
    number = _number(value)
    if isinstance(number, float) and number.is_integer() and not isinstance(value, float):
        return int(number)  # 1e6 steps
    if isinstance(number, bool) or not isinstance(number, int):
        raise _WrongValue("a whole number")
    return number


def _real(value: object, _: type) -> float:
    number = _number(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise _WrongValue("a number")
    return float(number)


def _boolean(value: object, _: type) -> bool:
    if not isinstance(value, bool):
        raise _WrongValue("true or false")
    return value


def _text(value: object, _: type) -> str:
    if not isinstance(value, str):
        raise _WrongValue("text", "put it in quotes")
    return value


def _path(value: object, _: type) -> pathlib.Path:
    if isinstance(value, pathlib.Path):
        return value
    if not isinstance(value, str) or not value:
        raise _WrongValue("a path")
    return pathlib.Path(value)


def _anything(value: object, _: type) -> object:
    return value


def _literal(value: object, kind: Any) -> object:
    valid = typing.get_args(kind)
    # 1 == True: the type is part of the choice.
    if not any(value == choice and type(value) is type(choice) for choice in valid):
        names = [str(choice) for choice in valid]
        raise _WrongValue(f"one of {', '.join(names)}", did_you_mean(str(value), names))
    return value


def _union(value: object, kind: Any) -> object:
    """The first member that admits the value; a mapping goes to a dataclass, so that its own mistakes are told."""
    members = typing.get_args(kind)
    if value is None and type(None) in members:
        return None
    present: list[Any] = [member for member in members if member is not type(None)]
    nested: list[Any] = [member for member in present if dataclasses.is_dataclass(member)]
    if isinstance(value, dict) and len(nested) == 1:
        present = nested
    if len(present) == 1:
        return _converter().structure(value, present[0])
    for member in present:
        try:
            return _converter().structure(value, member)
        except Exception:
            continue
    raise _WrongValue(_named(kind))


def _sequence(value: object, kind: Any) -> object:
    """A tuple[X, ...], tuple[X, Y] or list[X]; text is refused, or "abc" would become three settings."""
    if not isinstance(value, list | tuple):
        raise _WrongValue(_named(kind), "write it as [a, b]")
    origin: Any = typing.get_origin(kind) or kind
    members = typing.get_args(kind)
    if origin is tuple and members and members[-1] is not Ellipsis:
        if len(value) != len(members):
            raise _WrongValue(f"{len(members)} values")
        kinds = list(members)
    else:
        kinds = [members[0] if members else Any] * len(value)
    items, errors = [], []
    for index, (item, member) in enumerate(zip(value, kinds, strict=True)):
        try:
            items.append(_converter().structure(item, member))
        except Exception as error:
            error.__notes__ = [*getattr(error, "__notes__", []), _At(f"[{index}]", member, item)]
            errors.append(error)
    if errors:
        raise IterableValidationError("", errors, kind)
    return origin(items)


class _At(str):
    """A note on an exception saying where in its parent a value stood, and what stood there."""

    name: str
    kind: Any
    value: object

    def __new__(cls, name: str, kind: Any, value: object) -> "_At":
        note = super().__new__(cls, f"at {name}")
        note.name, note.kind, note.value = name, kind, value
        return note


def _is_sequence(kind: Any) -> bool:
    return (typing.get_origin(kind) or kind) in (tuple, list)


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _dataclass_hook(converter: cattrs.Converter) -> Callable[[Any], Callable[[Any, Any], object]]:
    """What makes the hook of a dataclass: its fields, after parts given in part were completed."""

    def hook_of(kind: Any) -> Callable[[Any, Any], object]:
        of_fields = converter.gen_structure_attrs_fromdict(kind)

        def hook(value: Any, _: Any) -> object:
            return of_fields(completed(kind, value) if isinstance(value, dict) else value, kind)

        return hook

    return hook_of


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind, hook in ((int, _integer), (float, _real), (bool, _boolean), (str, _text), (pathlib.Path, _path)):
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook_func(lambda kind: kind is Any or kind is object, _anything)
    converter.register_structure_hook_func(lambda kind: typing.get_origin(kind) is typing.Literal, _literal)
    converter.register_structure_hook_func(_is_sequence, _sequence)
    converter.register_structure_hook_func(_is_union, _union)
    converter.register_structure_hook_factory(dataclasses.is_dataclass, _dataclass_hook(converter))
    converter.register_unstructure_hook(pathlib.Path, str)
    converter.register_unstructure_hook_func(_is_sequence, lambda items: [converter.unstructure(i) for i in items])
    return converter


# --- telling what went wrong -----------------------------------------------------------------------------------------


def _problems(error: BaseException, kind: Any, value: object, path: str) -> list[ConfigError]:
    """Flattens what cattrs raised into one `ConfigError` a mistake, each at its dotted path."""
    if isinstance(error, ClassValidationError | IterableValidationError):
        found = []
        for inner in error.exceptions:
            found += _problems_below(inner, error, value, path)
        return found
    if isinstance(error, ForbiddenExtraKeysError):
        given = value if isinstance(value, dict) else {}
        return [no_such_field(name, given.get(name), error.cl, path) for name in sorted(error.extra_fields)]
    if isinstance(error, UserError):  # a combination that the dataclass itself refused
        what = f"{path}: {error.what}" if path else error.what
        return [ConfigError(what, received=error.received, expected=error.expected, fix=error.fix)]
    if isinstance(error, _WrongValue):
        return [_wrong(path, value, error.expected, error.fix)]
    if isinstance(error, ValueError) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return [ConfigError(f"{path}: {error}" if path else str(error))]
    if dataclasses.is_dataclass(kind) and not isinstance(value, dict):
        return [_wrong(path, value, "a mapping of settings", None)]
    return [_wrong(path, value, _named(kind), None)]


def _problems_below(inner: BaseException, error: Any, value: object, path: str) -> list[ConfigError]:
    """The problems of one part of a structured value; the part is named by the note on its exception."""
    for note in getattr(inner, "__notes__", []):
        if isinstance(note, _At):
            return _problems(inner, note.kind, note.value, f"{path}{note.name}")
        name, kind = getattr(note, "name", None), getattr(note, "type", None)
        if name is None and getattr(note, "index", None) is not None:  # a key or value of a dict
            below = value.get(note.index) if isinstance(value, dict) else None
            return _problems(inner, kind, below, _joined(path, str(note.index)))
        if name is None:
            continue
        if isinstance(value, dict) and name in value:
            return _problems(inner, kind, value[name], _joined(path, name))
        if isinstance(value, dict):
            missing = f"{_joined(path, name)}: this setting is missing"
            return [ConfigError(missing, expected=_named(kind), fix=f"add {name}: ...")]
    return _problems(inner, error.cl, value, path)


def _wrong(path: str, value: object, expected: str, fix: str | None) -> ConfigError:
    what = f"{path}: the value cannot be used" if path else "the settings cannot be used"
    return ConfigError(what, received=_shown(value), expected=expected, fix=fix)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: object) -> str:
    """The value as the user would know it, short."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


_PLAIN_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", pathlib.Path: "a path"}


def _named(kind: Any) -> str:
    """A type in words."""
    if kind in _PLAIN_NAMES:
        return _PLAIN_NAMES[kind]
    if kind is type(None):
        return "null"
    if _is_union(kind):
        return " or ".join(_named(member) for member in typing.get_args(kind))
    if typing.get_origin(kind) is typing.Literal:
        return f"one of {', '.join(str(choice) for choice in typing.get_args(kind))}"
    if _is_sequence(kind):
        members = [member for member in typing.get_args(kind) if member is not Ellipsis]
        return f"a list, each {_named(members[0])}" if members else "a list"
    if dataclasses.is_dataclass(kind) or (typing.get_origin(kind) or kind) is dict:
        return "a mapping of settings"
    return getattr(kind, "__name__", str(kind))
