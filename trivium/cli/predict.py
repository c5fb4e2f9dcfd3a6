"""`trivium predict`: labels, tags or translates texts, and says so line by line as the answers come."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from trivium.cli import arguments
from trivium.cli.dry_run import using
from trivium.cli.output import print_json, print_plan
from trivium.cli.terminal import console, write
from trivium.cli.verbs import Options, Verb
from trivium.recipes.predict import PredictConfig, predict

_STYLES = ("cyan", "green", "magenta", "yellow", "blue")


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints an answer a line: readable, or as JSON with --json."""
    settings = arguments.parse(PredictConfig, verb, words)
    if options.dry_run:
        print_plan(settings, using.predicting(settings), options)
        return
    # Answers that appear on the terminal are progress enough, and a bar would stand among them.
    hidden = sys.stdout.isatty() or not sys.stderr.isatty()
    view = console()
    for found in predict(settings, silent=hidden):
        if options.json:
            print_json(found)
        else:
            _show(view, found)
    if settings.output is not None:
        print(f"written to {settings.output}", file=sys.stderr)


def _show(view: Console, found: dict[str, Any]) -> None:
    if "label" in found:
        _show_label(view, found)
    elif "tags" in found:
        _show_tags(view, found)
    else:
        write(view, found["translation"])
    write(view, "\n")


def _show_label(view: Console, found: dict[str, Any]) -> None:
    """The label, how sure, the text: in columns that every answer of this model shares."""
    labels = list(found["probabilities"])
    width, style = max(map(len, labels)), _STYLES[labels.index(found["label"]) % len(_STYLES)]
    write(view, f"{found['label']:<{width}}", style)
    write(view, f"  {found['probability']:4.0%}  {' '.join(found['text'].split())}")


def _show_tags(view: Console, found: dict[str, Any]) -> None:
    """The text with its spans marked; where tags mark none, as parts of speech, each word with its tag."""
    if not found["spans"] and any("-" not in tag and tag != "O" for tag in found["tags"]):
        write(view, " ".join(f"{word}/{tag}" for word, tag in zip(found["words"], found["tags"], strict=True)))
        return
    text, at = found["text"], 0
    for span in found["spans"]:
        write(view, text[at : span["start"]])
        write(view, f"[{span['text']} {span['label']}]", "cyan")
        at = span["end"]
    write(view, text[at:])
