"""From the words of a command line, and a YAML file where there is one, to a verb's configuration.

The YAML is read first and flags override it; the configuration checks itself once, after both.
"""

import contextlib
import dataclasses
import functools
import io
import itertools
import os
import pathlib
import re
import shlex
import shutil
import sys
import textwrap
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from trivium import config
from trivium.cli import common
from trivium.cli.flags import Flag, flags_of, spelled
from trivium.cli.verbs import Verb
from trivium.errors import ConfigError, UserError

Config = TypeVar("Config")


def parse(kind: type[Config], verb: Verb, words: Sequence[str]) -> Config:
    """The configuration `kind` of `verb` from `words`; after a bare `--` no word is a flag.

    Raises `UserError` for settings that cannot be used; ends with SystemExit after printing for `--help` (0).
    """
    flags = flags_of(f"{kind.__module__}:{kind.__name__}")
    common.check(verb, words, flags)
    leading, given = _split_leading(words)
    mapping: dict[str, Any] = {}
    if leading and verb.leading == "recipe":
        if len(leading) > 1:
            raise UserError("more than one recipe", received=" ".join(leading), fix=f"try: {verb.example}")
        if verb.folder is not None and pathlib.Path(leading[0]).is_dir():
            leading, given = [], [f"--{verb.folder}={leading[0]}", *given]
        else:
            mapping = config.read_yaml(leading[0])
    elif leading and verb.leading:
        given = [*_leading_setting(verb, leading, flags), *given]
    elif leading:
        raise UserError(f"{verb.name} takes only flags", received=" ".join(leading), fix=f"try: {verb.example}")
    source = leading[0] if leading else "the configuration"
    default = _unchecked(kind, mapping, source) if mapping else None
    if not {"-h", "--help"} & set(given):
        _require(verb, flags, {spelled(word) for word in given} | {f"--{name}" for name in mapping})
    return _parse_flags(kind, verb, given, default, flags)


def _split_leading(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before the first flag or after a bare `--`, and the rest."""
    end = words.index("--") if "--" in words else len(words)
    first = next((index for index in range(end) if words[index].startswith("-") and words[index] != "-"), end)
    return [*words[:first], *words[end + 1 :]], list(words[first:end])


def _leading_setting(verb: Verb, leading: list[str], flags: Sequence[Flag]) -> list[str]:
    """The leading words as the flag that they belong to."""
    name = f"--{verb.leading}"
    several = any(flag.name == name and flag.takes_several for flag in flags)
    if len(leading) > 1 and not several:
        raise UserError(
            f"{verb.name} takes one {verb.leading}", received=shlex.join(leading), fix=_meant(verb, leading)
        )
    dashed = [word for word in leading if word.startswith("-") and word != "-"]
    if dashed and several:
        raise UserError("a name that begins with a dash", received=dashed[0], fix=f"write it as ./{dashed[0]}")
    return [f"{name}={leading[0]}"] if dashed else [name, *leading]


def _meant(verb: Verb, leading: Sequence[str]) -> str:
    """A command line that works, of the words that were given where it can be told what they are for."""
    if verb.second is None:
        return f"try: {verb.example}"
    first, rest = shlex.quote(leading[0]), shlex.quote(" ".join(leading[1:]))
    return f"name what the rest is for: trivium {verb.name} {first} --{verb.second} {rest}"


def _require(verb: Verb, flags: Sequence[Flag], given: set[str]) -> None:
    missing = [flag for flag in flags if flag.is_required and flag.name not in given]
    if missing:
        raise ConfigError(
            f"trivium {verb.name} needs {' and '.join(flag.name for flag in missing)}",
            expected="\n".join(f"{flag.name}: {flag.help}" for flag in missing),
            fix=f"try: {verb.example}",
        )


def _parse_flags(kind: type[Config], verb: Verb, words: list[str], default: Any, flags: Sequence[Flag]) -> Config:
    given = {} if default is None else {"default": default}
    said = io.StringIO()
    _plain_where_nobody_looks()
    try:
        # tyro reports what it refuses in words of its own; ours say what was received and what helps.
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                args=words,
                prog=f"trivium {verb.name}",
                description=_description(kind, verb),
                config=(tyro.conf.AvoidSubcommands,),
                **given,
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise _refusal(end) or _retold(said.getvalue(), verb, words, flags) from None


def _plain_where_nobody_looks() -> None:
    """Boxes of line-drawing characters are for a terminal; so are colours, unless NO_COLOR is set."""
    tyro._experimental_options["utf8_boxes"] = sys.stdout.isatty()
    tyro._experimental_options["ansi_codes"] = not os.environ.get("NO_COLOR")


# Colours, and the box around.
_DRAWN = re.compile(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]|-{3,}")
# How tyro names the flag whose value it cannot use, and one that has none.
_AT_FAULT = re.compile(r"(?:Error parsing|argument) '?(--[\w.-]+)")
_SPARE = re.compile(r"Unrecognized options: (.*?)(?:Perhaps you|Similar|For full|$)")


def _retold(said: str, verb: Verb, words: list[str], flags: Sequence[Flag]) -> ConfigError:
    """What tyro said on standard error, in our form; its own text where it is about no single flag."""
    bare = _DRAWN.sub("", said)
    text = " ".join(bare.split())
    found = _AT_FAULT.search(text)
    flag = next((flag for flag in flags if found and found[1] in flag.spellings), None)
    see = f"see `trivium {verb.name} --help`"
    spare = _SPARE.search(text)
    if flag is None and spare:
        switch = _switch_before(spare[1].split()[0], words, flags)
        if switch is not None:
            on, off = switch.spellings
            return ConfigError(f"{on} takes no value", received=spare[1].strip(), fix=f"write {on} or {off}")
        quote = 'a text of several words stands between quotes: "two words"'
        return ConfigError("words that belong to no setting", received=spare[1].strip(), fix=quote)
    if flag is None:
        return ConfigError("the command line cannot be understood", received=text, fix=see)
    values = _values(words, flag)
    if not values:
        return ConfigError(f"{flag.name} has no value", expected=flag.takes, fix=see)
    near = config.did_you_mean(values[0], flag.choices)
    return ConfigError(f"{flag.name} cannot be used", received=" ".join(values), expected=flag.takes, fix=near or see)


def _switch_before(spare: str, words: Sequence[str], flags: Sequence[Flag]) -> Flag | None:
    """The switch that a word was given to as its value."""
    before = {spelled(one) for one, other in itertools.pairwise(words) if other == spare}
    return next((flag for flag in flags if flag.is_switch and before & {*flag.spellings}), None)


def _values(words: Sequence[str], flag: Flag) -> list[str]:
    """What was given to a flag, the last time that it was given."""
    values: list[str] = []
    for index, word in enumerate(words):
        if spelled(word) == flag.name:
            _, joined, value = word.partition("=")
            following = itertools.takewhile(lambda each: not each.startswith("--"), words[index + 1 :])
            values = [value] if joined else list(following)
    return values


def _description(kind: type, verb: Verb) -> str:
    words = {"recipe": " [RECIPE.yaml]", None: ""}.get(verb.leading, f" {str(verb.leading).upper()}")
    if verb.folder is not None:
        words = f" [RECIPE.yaml | {verb.folder.upper()}]"
    about = (kind.__doc__ or "").strip().split("\n\n")[0]
    shared = "Also: --json (for programs), --dry-run (only say what would be done), --debug (show tracebacks)."
    width = shutil.get_terminal_size().columns
    parts = [f"trivium {verb.name}{words} [--setting value ...]", about, f"Example: {verb.example}", shared]
    beside = [f"Beside it: trivium {each.name}, {each.summary}." for each in verb.beside]
    parts += beside
    # tyro joins lines again, but for those that begin with no letter.
    fill = functools.partial(textwrap.fill, width=width, subsequent_indent="  ")
    return "\n\n".join(fill(" ".join(part.split())) if part in (about, shared, *beside) else part for part in parts)


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
    for name, value in config.completed(kind, mapping).items():
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
