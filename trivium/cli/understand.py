"""`trivium understand`: what a model's layers tell of texts and words, and where a word looks; writes a page."""

import sys
from collections.abc import Sequence
from typing import Any

from trivium.cli import arguments
from trivium.cli.dry_run.network import saved
from trivium.cli.output import print_json, print_plan
from trivium.cli.verbs import Options, Verb
from trivium.recipes.understanding import UnderstandConfig, check_model, read_given, understand


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints a line a layer, or everything as one object with --json; the page is written to --output."""
    settings = arguments.parse(UnderstandConfig, verb, words)
    if options.dry_run:
        print_plan(settings, _needs(settings), options)
        return
    found = understand(settings).to_json()
    if options.json:
        print_json(found)
    else:
        print(_told(found))
    print(f"written to {settings.output}", file=sys.stderr)


def _needs(settings: UnderstandConfig) -> dict[str, Any]:
    """Raises `UserError` for a model or data that cannot be used."""
    check_model(settings)
    given = read_given(settings)
    model = saved(settings.model, settings.device, settings.dtype)
    model.tokenizer()
    asked = {name: value for name, value in given.facts().items() if value is not None}
    return {**model.facts(), "weights_mib": round(model.weights_mib(), 3), **asked}


def _told(found: dict[str, Any]) -> str:
    """Each layer with its figures; a dash for what was not asked for."""
    columns = ["", "texts", "words, F1", "of control", "same sense", "different", "any words"]
    rows = [columns]
    for place, at in enumerate(found["senses"]["layers"]):
        texts, words = (found[name] and found[name]["layers"][place] for name in ("texts", "words"))
        rows.append(
            [
                at["layer"],
                _share(texts, "accuracy"),
                _share(words, "f1"),
                _share(words, "control_f1"),
                *(f"{at[name]:.3f}" for name in ("same", "different", "anywhere")),
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    if found["texts"]:
        lines.append(f"texts: accuracy; always the most frequent label gives {found['texts']['majority']:.1%}")
    return "\n".join([*lines, *(f"left out: {each}" for each in found["left_out"])])


def _share(figures: dict[str, Any] | None, name: str) -> str:
    return "-" if not figures or figures[name] is None else f"{figures[name]:.1%}"
