"""The verbs that run a recipe: `trivium VERB` reads its configuration and calls `trivium.recipes.VERB.VERB(config)`."""

import importlib
import json
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.checkpoints.model_folder import read_hf_config
from trivium.checkpoints.provenance import read_description
from trivium.cli import arguments
from trivium.cli.output import print_json, print_plan
from trivium.cli.verbs import Options, Verb
from trivium.data.prepared import Prepared
from trivium.errors import UserError
from trivium.lm.load import base_folder, saved_folder
from trivium.lm.purpose import purpose_of_folder
from trivium.lm.reading import trained_on_pairs
from trivium.models import architecture
from trivium.recipes.prepare import summary
from trivium.training.run import Run

# From here on a fraction says nothing, and thousands are to be counted at a glance.
_NO_FRACTION = 1000


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Parses the words into the recipe's configuration, runs the recipe and prints what came of it.

    Where the verb does not name its recipe, it has the name of the verb's last word: of `train tagging`, tagging.
    """
    name = verb.name.split()[-1]
    module, _, function = (verb.recipe or f"trivium.recipes.{name}:{name}").partition(":")
    recipe = getattr(importlib.import_module(module), function)
    place, _, settings_class = verb.settings[0].partition(":")
    settings = arguments.parse(getattr(importlib.import_module(place), settings_class), verb, words)
    if options.dry_run:
        print_plan(settings, _needs(verb, settings), options)
        return
    result = recipe(settings)
    facts = facts_of(result)
    if options.json:
        print_json(facts)
        return
    for name, value in facts.items():
        _show(name, value)
    if verb.then is not None and isinstance(result, Run):
        then = _then(verb.then, result.folder)
        print(f"try: {then.format(run=shlex.quote(str(result.folder)))}", file=sys.stderr)


def _then(usual: str, folder: pathlib.Path) -> str:
    """What the model of a run is used by: as is usual for the verb, unless it is for something else."""
    try:
        saved = base_folder(saved_folder(folder))
        purpose, kind = purpose_of_folder(saved), architecture(str(read_hf_config(saved)["model_type"])).kind
        of_pairs = trained_on_pairs(read_description(saved)) is True
    except UserError:
        return usual
    if purpose in ("filling", "text_to_text"):
        return "trivium predict {run} --input texts.txt"
    if purpose is None and kind == "encoder":
        return "trivium train classification --base {run} --data texts.csv"
    return usual.replace("texts.txt", "pairs.jsonl") if of_pairs else usual


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


def _show(name: str, value: Any) -> None:
    """A name and its value on a line; tables in the value on lines below."""
    tables: dict[str, Any] = {}
    if isinstance(value, Mapping):
        tables = {inner: rows for inner, rows in value.items() if _is_table(rows)}
        value = {inner: rest for inner, rest in value.items() if inner not in tables}
    print(f"{name.replace('_', ' ')}: {_readable(value)}")
    for inner, rows in tables.items():
        print(_table(inner.replace("_", " "), rows))


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(row, Mapping) for row in value.values())


def _table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each row, with its figures in columns."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = [[title, *columns]]
    cells += [[str(name), *(_readable(row.get(column, "")) for column in columns)] for name, row in rows.items()]
    first, *widths = [max(len(row[place]) for row in cells) for place in range(len(columns) + 1)]
    figures = [[cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True)] for row in cells]
    return "\n".join("  ".join([f"  {row[0]:<{first}}", *rest]) for row, rest in zip(cells, figures, strict=True))


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= _NO_FRACTION else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_readable(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(end, float) for end in value):
        return " to ".join(map(_readable, value))
    return str(value)
