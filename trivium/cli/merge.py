"""`trivium merge`: adapters into their model, several adapters or models into one."""

import shlex
from collections.abc import Sequence

from trivium.cli import arguments
from trivium.cli.output import print_json, print_settings
from trivium.cli.verbs import Options, Verb
from trivium.recipes.merge import MergeConfig, merge


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Merges, and says what came of it; with --json one object."""
    config = arguments.parse(MergeConfig, verb, words)
    if options.dry_run:
        print_settings(config, options)
        return
    told = merge(config)
    if options.json:
        print_json(told)
        return
    for folder, weight in told["merged"].items():
        print(f"{weight:g} x {folder}")
    if told["lost"]:
        print(f"the rank cannot hold {told['lost']:.2%} of the combined change; a larger one can (--combination.rank)")
    if told["drift"] is not None:
        drift = told["drift"]
        print(
            f"drift from base and adapter apart, over {drift['tokens']:,} tokens: {drift['divergence']:.2e} nats a "
            f"token, logits by up to {drift['largest']:.2e}, the same token first at {drift['agreement']:.2%}"
        )
    print(f"saved to {shlex.quote(told['output'])}")
