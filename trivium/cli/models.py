"""`trivium models`: the architectures, in the order of history; with --trace, what a model was made from."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from trivium.cli import arguments
from trivium.cli.numbers import readable_count
from trivium.cli.output import print_json, print_settings
from trivium.cli.terminal import console
from trivium.cli.verbs import Options, Verb
from trivium.errors import TriviumError
from trivium.models.table import Row, architectures, misfiled
from trivium.models.unpublished import UNPUBLISHED, Unpublished

_SHOWN_HASH = 12
_SAID = {
    "verified": "the chain is verified: every step is what was written down",
    "not found": "what is here is verified; some steps are not on this machine",
    "altered": "the chain is altered",
}
_STYLES = {"verified": "green", "not found": "yellow", "altered": "bold red"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelsConfig:
    """Lists the architectures that trivium builds: when, by whom, from which paper, in which published sizes."""

    trace: pathlib.Path | None = None
    """Instead, tell what this model, run, adapter or prepared data was made from, and check each step by its hash."""


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints each architecture with its paper and its published sizes, then what cannot be built and what is often
    misfiled; with --json an object of three lists."""
    config = arguments.parse(ModelsConfig, verb, words)
    if options.dry_run:
        print_settings(config, options)
    elif config.trace is not None:
        _trace(config.trace, options)
    else:
        _list(options)


def _list(options: Options) -> None:
    if options.json:
        parts = {"architectures": architectures(), "unpublished": UNPUBLISHED, "often_misfiled": misfiled()}
        print_json({name: [dataclasses.asdict(row) for row in rows] for name, rows in parts.items()})
        return
    view = console(markup=True)
    for row in architectures():
        view.print(f"{row.year}  [bold]{row.name}[/bold]  {row.kind}, {row.developer}")
        view.print(f"      {row.paper}")
        if row.parameters:
            view.print(f"      {_sizes(row)}", style="dim")
        view.print()
    view.print("Not built here, because they were never published:\n")
    for model in UNPUBLISHED:
        view.print(f"{model.year}  [bold]{model.name}[/bold]  {model.developer}: {model.kind}")
        view.print(f"      {model.source}", style="dim")
        view.print(f"      not published: {model.not_published}; {_reached(model)}\n", style="dim")
    view.print("Often misfiled:\n")
    for entry in misfiled():
        view.print(f"      [bold]{entry.name}[/bold]  {entry.developer}: {entry.kind}, not {entry.taken_for}")


def _reached(model: Unpublished) -> str:
    how = "no service offers it" if model.service is None else f"reached as a service, {model.service}:MODEL"
    return how if model.stand_in is None else f"{how}; the nearest that can be built is {model.stand_in}"


def _sizes(row: Row) -> str:
    return ", ".join(f"{name} {readable_count(count)}" for name, count in row.parameters.items())


def _trace(folder: pathlib.Path, options: Options) -> None:
    """Prints the chain. Raises `TriviumError` (exit code 1) where a step of it was altered."""
    from trivium.lm.trace import trace  # imports torch, which the list does without

    chain = trace(folder)
    if options.json:
        print_json({"state": chain.state, "links": [_plain(link) for link in chain.links]})
    else:
        view = console(markup=True)
        tree = _tree(chain.root)
        # A tree is drawn with lines and cut at the width of the screen: elsewhere it is text, and paths stay whole.
        view.print(tree if view.is_terminal else "\n".join(_indented(tree)))
        view.print(f"\n{_SAID[chain.state]}", style=_STYLES[chain.state])
    altered = [link for link in chain.links if link.state == "altered"]
    if altered:
        raise TriviumError("altered since: " + "; ".join(f"{link.kind} {link.path} ({link.note})" for link in altered))


def _plain(link: Any) -> dict[str, Any]:
    """A link with the paths of what it was made from: those are links of the list themselves."""
    facts = {field.name: getattr(link, field.name) for field in dataclasses.fields(link)}
    return {**facts, "made_from": [{"kind": before.kind, "path": before.path} for before in link.made_from]}


def _indented(tree: Tree, depth: int = 0) -> Iterator[str]:
    yield "    " * depth + str(tree.label)
    for child in tree.children:
        yield from _indented(child, depth + 1)


def _tree(link: Any) -> Tree:
    shown = (link.found or link.recorded or "no hash")[:_SHOWN_HASH]
    style = _STYLES[link.state]
    line = f"[bold]{link.kind}[/bold] {escape(link.path)}  [dim]{shown}[/dim]  [{style}]{link.state}[/{style}]"
    tree = Tree(line + (f": {escape(link.note)}" if link.note else ""))
    for detail in link.details:
        tree.add(f"[dim]{escape(detail)}[/dim]")
    for before in link.made_from:
        tree.children.append(_tree(before))
    return tree
