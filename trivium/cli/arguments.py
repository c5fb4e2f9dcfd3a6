"""From the words of a command line, and a YAML file where there is one, to a verb's configuration.

The YAML is read first and flags override it; the configuration checks itself once, after both.
"""

import contextlib
import dataclasses
import io
import sys
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from trivium import config
from trivium.cli.verbs import Verb
from trivium.errors import ConfigError, UserError

Config = TypeVar("Config")


def parse(kind: type[Config], verb: Verb, words: Sequence[str]) -> Config:
    """The configuration `kind` of `verb` from `words`.

    Raises `UserError` for settings that cannot be used; ends with SystemExit after printing for `--help` (0) and for
    words that are no setting (2).
    """
    leading, flags = _split_leading(words)
    mapping: dict[str, Any] = {}
    if leading and verb.leading == "recipe":
        if len(leading) > 1:
            raise UserError("more than one recipe", received=" ".join(leading), fix=f"try: {verb.example}")
        mapping = config.read_yaml(leading[0])
    elif leading and verb.leading:
        flags = [f"--{verb.leading}", *leading, *flags]
    elif leading:
        raise UserError(f"{verb.name} takes only flags", received=" ".join(leading), fix=f"try: {verb.example}")
    source = leading[0] if leading else "the configuration"
    return _parse_flags(kind, verb, flags, _unchecked(kind, mapping, source) if mapping else None)


def _split_leading(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before the first flag, and the rest."""
    for index, word in enumerate(words):
        if word.startswith("-") and word != "-":
            return list(words[:index]), list(words[index:])
    return list(words), []


def _parse_flags(kind: type[Config], verb: Verb, flags: list[str], default: Any) -> Config:
    given = {} if default is None else {"default": default}
    said = io.StringIO()
    try:
        # tyro reports a configuration that refuses itself in words of its own; ours say more, so hold its report back.
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                args=flags,
                prog=f"trivium {verb.name}",
                description=_description(kind, verb),
                config=(tyro.conf.AvoidSubcommands,),
                **given,
            )
    except SystemExit as end:
        refusal = _refusal(end)
        if refusal is not None:
            raise refusal from None
        sys.stderr.write(said.getvalue())
        raise


def _description(kind: type, verb: Verb) -> str:
    words = {"recipe": " [RECIPE.yaml]", None: ""}.get(verb.leading, f" {str(verb.leading).upper()}")
    about = (kind.__doc__ or "").strip().split("\n\n")[0]
    shared = "Also: --json (for programs), --dry-run (only say what would be done), --debug (show tracebacks)."
    return f"trivium {verb.name}{words} [--setting value ...]\n\n{about}\n\nExample: {verb.example}\n\n{shared}"


def _refusal(error: BaseException | None) -> UserError | None:
    """The `UserError` that made tyro give up, if one did."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _unchecked(kind: type[Config], mapping: dict[str, Any], source: str) -> Config:
    """`kind` filled from `mapping`, each value strictly checked, without its own check of combinations.

    What the mapping leaves out is the default, or required of the flags. The combinations are checked once flags
    have had their say: a recipe may well be incomplete, or wrong in what a flag then overrides.
    """
    names = {field.name for field in dataclasses.fields(typing.cast(Any, kind)) if field.init}
    kinds = typing.get_type_hints(kind)
    problems: list[ConfigError] = []
    values: dict[str, Any] = {}
    for name, value in mapping.items():
        if name not in names:
            problems.append(config.no_such_field(str(name), value, kind))
            continue
        values[name], found = config.attempt(kinds[name], value, path=name)
        problems += found
    if problems:
        raise config.combined(problems, source)
    filled = object.__new__(kind)
    for field in dataclasses.fields(typing.cast(Any, kind)):
        object.__setattr__(filled, field.name, values.get(field.name, _default(field)))
    return filled


def _default(field: dataclasses.Field) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return tyro.MISSING
