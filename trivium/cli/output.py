"""What a verb prints: results on standard output, readable or as JSON; everything else on standard error."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from trivium import config
from trivium.cli.terminal import Stream
from trivium.cli.verbs import Options
from trivium.runtime.progress import duration


def print_json(facts: Any, file: Stream | None = None) -> None:
    """One JSON value on one line, at once; on standard output unless a file is given."""
    print(json.dumps(facts, ensure_ascii=False), file=file, flush=True)


def print_settings(settings: Any, options: Options) -> None:
    """What --dry-run says of work that needs nothing worth telling: the resolved configuration."""
    print_plan(settings, {}, options)


def print_plan(settings: Any, needs: Mapping[str, Any], options: Options) -> None:
    """What --dry-run says: the resolved configuration, and what carrying it out will need.

    `needs` are plain values; the end of a name is its unit (`_mib`, `_seconds`). As JSON they stand beside the
    settings, under "needs".
    """
    if options.json:
        print_json({**config.to_dict(settings), **({"needs": needs} if needs else {})})
        return
    print(config.to_yaml(settings), end="")
    if needs:
        print("\nwhat it will need")
        print_facts(needs)
    print("nothing was done: this is what it would be done with", file=sys.stderr)


def print_facts(facts: Mapping[str, Any], indent: str = "  ") -> None:
    """Names and values in two columns; a value of several parts on lines of its own."""
    rows = [_in_words(name, value) for name, value in facts.items()]
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        first, *rest = text.splitlines() or [""]
        print("\n".join([f"{indent}{name:<{width}}  {first}", *(f"{indent}{'':<{width}}  {line}" for line in rest)]))


def _in_words(name: str, value: Any) -> tuple[str, str]:
    """A name without its unit, and the value with it."""
    label = name.removesuffix("_mib").removesuffix("_seconds").replace("_", " ")
    if isinstance(value, int | float) and name.endswith("_mib"):
        return label, f"{value:,.1f} MiB" if value >= 1 else f"{1024 * value:,.1f} KiB"
    if isinstance(value, int | float) and name.endswith("_seconds"):
        return label, f"about {duration(value)}"
    return label, readable(value)


def readable(value: Any) -> str:
    """A value for people: thousands apart, four figures of a fraction, the parts of a mapping or a list on lines."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, Mapping):
        rows = [_in_words(name, inner) for name, inner in value.items()]
        return "\n".join(f"{name}: {text}" for name, text in rows)
    if isinstance(value, list | tuple):
        return "\n".join(readable(inner) for inner in value)
    return str(value)
