"""`trivium models`: the architectures, in the order of history."""

import dataclasses
from collections.abc import Sequence

from rich.console import Console

from trivium.cli import arguments
from trivium.cli.numbers import readable_count
from trivium.cli.output import print_json
from trivium.cli.verbs import Options, Verb
from trivium.models.table import Row, architectures


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelsConfig:
    """Lists the architectures that trivium builds: when, by whom, from which paper, in which published sizes."""


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints each architecture with its paper and its published sizes; with --json a list of objects."""
    arguments.parse(ModelsConfig, verb, words)
    rows = architectures()
    if options.json:
        print_json([dataclasses.asdict(row) for row in rows])
        return
    console = Console(highlight=False)
    for row in rows:
        console.print(f"{row.year}  [bold]{row.name}[/bold]  {row.kind}, {row.developer}", soft_wrap=True)
        console.print(f"      {row.paper}", soft_wrap=True)
        console.print(f"      {_sizes(row)}\n", soft_wrap=True, style="dim")


def _sizes(row: Row) -> str:
    return ", ".join(f"{name} {readable_count(count)}" for name, count in row.parameters.items())
