"""The verbs that run a recipe: `trivium VERB` reads `trivium.recipes.VERB.VerbConfig` and calls `verb(config)`."""

import importlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.cli import arguments
from trivium.cli.output import print_json, print_settings
from trivium.cli.verbs import Options, Verb
from trivium.data.prepared import Prepared
from trivium.recipes.prepare import summary
from trivium.training.run import Run


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Parses the words into the recipe's configuration, runs the recipe and prints what came of it."""
    recipe = importlib.import_module(f"trivium.recipes.{verb.name}")
    settings = arguments.parse(getattr(recipe, f"{verb.name.capitalize()}Config"), verb, words)
    if options.dry_run:
        print_settings(settings, options)
        return
    facts = facts_of(getattr(recipe, verb.name)(settings))
    if options.json:
        print_json(facts)
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' ')}: {_readable(value)}")


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
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_readable(inner)}" for name, inner in value.items()) or "none"
    return str(value)
