"""The verbs that run a recipe: `trivium VERB` reads `VerbConfig` of `trivium.recipes.VERB` and calls `VERB(config)`."""

import importlib
import json
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.cli import arguments
from trivium.cli.output import print_json, print_plan
from trivium.cli.verbs import Options, Verb
from trivium.data.prepared import Prepared
from trivium.recipes.prepare import summary
from trivium.training.run import Run

# From here on a fraction says nothing, and thousands are to be counted at a glance.
_NO_FRACTION = 1000


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Parses the words into the recipe's configuration, runs the recipe and prints what came of it."""
    recipe = importlib.import_module(f"trivium.recipes.{verb.name}")
    settings = arguments.parse(getattr(recipe, f"{verb.name.capitalize()}Config"), verb, words)
    if options.dry_run:
        print_plan(settings, _needs(verb, settings), options)
        return
    result = getattr(recipe, verb.name)(settings)
    facts = facts_of(result)
    if options.json:
        print_json(facts)
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' ')}: {_readable(value)}")
    if verb.then is not None and isinstance(result, Run):
        print(f"try: {verb.then.format(run=shlex.quote(str(result.folder)))}", file=sys.stderr)


def _needs(verb: Verb, settings: Any) -> dict[str, Any]:
    if verb.needs is None:
        return {}
    module, _, name = verb.needs.partition(":")
    return getattr(importlib.import_module(module), name)(settings)


def facts_of(result: Run | Prepared | Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe made, as plain data; of a run `{"run": folder, **the last line of metrics.jsonl}`."""
    if isinstance(result, Run):
        return {"run": str(result.folder), **_last_line(result.metrics_path)}
    if isinstance(result, Prepared):
        return summary(result)
    return dict(result)


def _last_line(metrics: pathlib.Path) -> dict[str, Any]:
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    return json.loads(lines[-1]) if lines else {}


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= _NO_FRACTION else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_readable(inner)}" for name, inner in value.items()) or "none"
    return str(value)
