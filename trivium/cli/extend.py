"""`trivium extend`: a model with more pieces, and what they change."""

import shlex
import sys
from collections.abc import Sequence

from trivium.cli import arguments
from trivium.cli.output import print_json, print_settings
from trivium.cli.verbs import Options, Verb
from trivium.recipes.extend import ExtendConfig, extend


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Extends, and prints a line for each figure of each text; with --json one object."""
    config = arguments.parse(ExtendConfig, verb, words)
    if options.dry_run:
        print_settings(config, options)
        return
    told = extend(config)
    if options.json:
        print_json(told)
        return
    print(f"{told['pieces']:,} new pieces, {told['vocabulary_size']:,} in all")
    for file, figures in told["measured"].items():
        print(file)
        for name, pair in figures.items():
            before, after = ("-" if pair[when] is None else f"{pair[when]:.3f}" for when in ("before", "after"))
            print(f"  {name.replace('_', ' '):16s} {before:>8s} -> {after:>8s}")
    folder = shlex.quote(told["output"])
    print(f"saved to {folder}")
    advice = f"try: trivium finetune --model {folder} --data TEXTS.jsonl"
    print(f'{advice}  (the new pieces are to be learnt, from lines of {{"text": ...}})', file=sys.stderr)
