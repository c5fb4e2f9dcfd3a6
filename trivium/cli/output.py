"""What a verb prints: results on standard output, readable or as JSON; everything else on standard error."""

import json
import sys
from typing import Any

from trivium import config
from trivium.cli.verbs import Options


def print_json(facts: Any) -> None:
    """One JSON value on one line, at once."""
    print(json.dumps(facts, ensure_ascii=False), flush=True)


def print_settings(settings: Any, options: Options) -> None:
    """What --dry-run says: the resolved configuration."""
    if options.json:
        print_json(config.to_dict(settings))
        return
    print(config.to_yaml(settings), end="")
    print("nothing was done: these are the settings it would be done with", file=sys.stderr)
