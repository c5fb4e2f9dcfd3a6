"""`trivium filters`: trains what `prepare` judges text by, and tells what it removes of whose text."""

import shlex
import sys
from collections.abc import Sequence

from trivium.cli import arguments
from trivium.cli.output import print_json, print_settings
from trivium.cli.verbs import Options, Verb
from trivium.recipes.filters import FiltersConfig, filters


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Trains, saves and measures; with --json one object, that of report.json and the folder."""
    config = arguments.parse(FiltersConfig, verb, words)
    if options.dry_run:
        print_settings(config, options)
        return
    trained = filters(config)
    for reason, count in trained.facts["passed_over"].items():
        print(f"passed over: {reason} ({count:,})", file=sys.stderr)
    if options.json:
        print_json({"folder": str(trained.folder), **trained.facts})
        return
    print(trained.table)
    flag = "--text.perplexity-limit" if config.kind == "perplexity" else "--text.harm-threshold"
    folder = shlex.quote(str(trained.folder))
    print(f"\nuse it: trivium prepare ... --text.{config.kind}-model {folder} {flag} {trained.limit:.6g}")
