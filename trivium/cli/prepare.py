"""`trivium prepare`: makes prepared data or examples, shows what would be trained on, or forgets a document."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from trivium.cli import arguments
from trivium.cli.output import print_json, print_settings
from trivium.cli.verbs import Options, Verb
from trivium.data.forget import Forgotten, forget
from trivium.data.prepared import FUNNEL_PAGE
from trivium.recipes.instructions import InstructionsConfig, instructions
from trivium.recipes.prepare import PrepareConfig, prepare, summary
from trivium.reports.funnel import funnel_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectConfig:
    """Shows token by token what a run on prepared data, or tuning on examples, would be trained on."""

    inspect: pathlib.Path
    """The prepared folder; with `model`, a .jsonl file of examples as `trivium finetune` takes it."""
    model: pathlib.Path | None = None
    """The model that would be tuned on the examples: they are put into its form, with its vocabulary."""
    all_answers: bool = False
    """Of examples: every answer of a conversation is trained on, and not the last alone."""
    documents: int = 3
    """How many documents to show."""
    context_tokens: int = 256
    """Tokens of a row, as in training."""
    html: pathlib.Path | None = None
    """Write a page instead."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForgetConfig:
    """Removes a document from prepared data, and lists every run that saw it."""

    forget: str
    """Id of the document, or the SHA-256 of its text."""
    output: pathlib.Path = pathlib.Path("data")
    """The prepared folder."""
    runs: tuple[pathlib.Path, ...] = (pathlib.Path("runs"),)
    """Folders of runs to look through."""


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Does what the flags ask for: --inspect FOLDER, --forget ID, --task NAME, or else the recipe."""
    flags = {word.partition("=")[0] for word in words}
    if "--inspect" in flags:
        _inspect(arguments.parse(InspectConfig, verb, words), options)
    elif "--forget" in flags:
        _forget(arguments.parse(ForgetConfig, verb, words), options)
    elif "--task" in flags:
        _put_into_words(arguments.parse(InstructionsConfig, verb, words), options)
    else:
        _make(verb, words, options)


def _make(verb: Verb, words: Sequence[str], options: Options) -> None:
    if options.dry_run:
        from trivium.cli import recipe  # it imports torch, which making data does without

        recipe.run(verb, words, options)
        return
    prepared = prepare(arguments.parse(PrepareConfig, verb, words))
    if options.json:
        print_json(summary(prepared))
        return
    _say(funnel_text(prepared.manifest, prepared.funnel))
    _say(f"\n{prepared.folder / FUNNEL_PAGE} shows some of what each rule removed")


def _put_into_words(config: InstructionsConfig, options: Options) -> None:
    if options.dry_run:
        print_settings(config, options)
        return
    made = instructions(config)
    if options.json:
        print_json({"folder": str(made.folder), **made.facts})
        return
    for part, counts in made.facts["parts"].items():
        phrasings = _counted(len(counts["templates"]), "phrasing")
        _say(f"{made.folder / part}: {_counted(counts['examples'], 'example')} in {phrasings}")


def _inspect(config: InspectConfig, options: Options) -> None:
    from trivium.data.prepared import open_prepared
    from trivium.recipes.finetune import FinetuneConfig
    from trivium.recipes.inspect import inspect_examples, inspect_prepared  # torch, which making data does without

    if options.dry_run:
        print_settings(config, options)
        return
    if config.model is None:
        prepared = open_prepared(config.inspect)
        inspected = inspect_prepared(prepared, config.documents, context_tokens=config.context_tokens)
    else:
        tuning = FinetuneConfig(
            model=config.model,
            data=config.inspect,
            answers="all" if config.all_answers else "last",
            context_tokens=config.context_tokens,
        )
        inspected = inspect_examples(tuning, config.documents)
    if config.html is not None:
        config.html.write_text(inspected.html(), encoding="utf-8")
        print(config.html)
    elif options.json:
        print_json(inspected.facts())
    else:
        inspected.show()


def _forget(config: ForgetConfig, options: Options) -> None:
    from trivium.recipes.prepared_folder import write_funnel_page

    if options.dry_run:
        print_settings(config, options)
        return
    forgotten = forget(config.output, config.forget, config.runs)
    write_funnel_page(config.output)  # the page quotes documents
    facts: dict[str, Any] = dataclasses.asdict(forgotten)
    if options.json:
        print_json({**facts, "runs": [{key: str(value) for key, value in run.items()} for run in facts["runs"]]})
        return
    _say(_forgotten_text(forgotten))
    for run_that_saw in forgotten.runs:
        _say(f"  {run_that_saw.folder}: {run_that_saw.because}")


def _say(text: str) -> None:
    """Prints ``text``; where the terminal has few characters a minus is a hyphen, and others are spelt as escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("\N{MINUS SIGN}", "-").encode(encoding, "backslashreplace").decode(encoding)
    print(text)


def _forgotten_text(forgotten: Forgotten) -> str:
    """All but the runs."""
    lines = ["already forgotten: there was nothing to remove"]
    if forgotten.places:
        removed = f"{_counted(forgotten.documents, 'document')} in {_counted(forgotten.places, 'place')}"
        lines = [f"removed: {removed}, with {forgotten.tokens:,} tokens"]
    if forgotten.together:
        lines.append(f"with it, because they were joined into one: {', '.join(forgotten.together)}")
    return "\n".join([*lines, f"runs that saw it: {len(forgotten.runs) or 'none is known'}"])


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
