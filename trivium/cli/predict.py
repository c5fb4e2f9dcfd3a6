"""`trivium predict`: what a model is for, text by text, and says so line by line as the answers come."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from trivium.cli import arguments
from trivium.cli.dry_run import using
from trivium.cli.output import print_json, print_plan
from trivium.cli.terminal import console, write
from trivium.cli.verbs import Options, Verb
from trivium.recipes.predict import PredictConfig, predict

_NUMBERS = 6
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
    shown = next(name for name in _WAYS if name in found)
    _WAYS[shown](view, found)
    write(view, "\n")


def _show_label(view: Console, found: dict[str, Any]) -> None:
    """The label, how sure, the text: in columns that every answer of this model shares."""
    labels = list(found["probabilities"])
    width, style = max(map(len, labels)), _STYLES[labels.index(found["label"]) % len(_STYLES)]
    write(view, f"{found['label']:<{width}}", style)
    write(view, f"  {found['probability']:4.0%}  {_line(found['text'])}")
    if "text_pair" in found:
        write(view, f"  |  {_line(found['text_pair'])}")


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


def _show_score(view: Console, found: dict[str, Any]) -> None:
    write(view, f"{found['score']:8.3f}", "cyan")
    write(view, f"  {_line(found['text'])}")
    if "text_pair" in found:
        write(view, f"  |  {_line(found['text_pair'])}")


def _show_answer(view: Console, found: dict[str, Any]) -> None:
    """The question, and what the text says to it."""
    write(view, f"{_line(found['question'])}  ")
    write(view, _line(found["answer"]) or "(no answer)", "cyan")
    write(view, f"  {found['probability']:4.0%}")


def _show_vector(view: Console, found: dict[str, Any]) -> None:
    """How it begins, for whoever wants all of it asks for --json."""
    numbers = " ".join(f"{number:7.4f}" for number in found["vector"][:_NUMBERS])
    write(view, numbers + (" ..." if len(found["vector"]) > _NUMBERS else ""), "cyan")
    write(view, f"  {_line(found['text'])}")


def _show_blanks(view: Console, found: dict[str, Any]) -> None:
    """The text as it is filled, and the candidates of each blank below."""
    write(view, found["filled"])
    for blank in found["blanks"]:
        candidates = (f"{one['text']} {one['probability']:.0%}" for one in blank["candidates"])
        write(view, f"\n  {found['text'][blank['start'] : blank['end']]}  ")
        write(view, ", ".join(candidates) or "nothing", "cyan")


def _line(text: str) -> str:
    return " ".join(text.split())


def _showing(name: str) -> Callable[[Console, dict[str, Any]], None]:
    return lambda view, found: write(view, found[name])


_WAYS: dict[str, Callable[[Console, dict[str, Any]], None]] = {
    "label": _show_label,
    "score": _show_score,
    "tags": _show_tags,
    "answer": _show_answer,
    "vector": _show_vector,
    "blanks": _show_blanks,
    **{name: _showing(name) for name in ("translation", "summary", "output")},
}
"""By what an answer holds."""
