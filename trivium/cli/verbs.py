"""The one table of what `trivium` does. It imports nothing, so that `trivium --help` is instant."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verb:
    """One thing that `trivium` does."""

    name: str
    summary: str
    """One line for `trivium --help`."""
    module: str
    """What runs it: a module with `run(verb, arguments, options) -> None`, imported only then."""
    example: str
    """A command line that works."""
    leading: str | None = None
    """The setting that arguments before the first flag belong to; "recipe" is a YAML file of settings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What every verb understands, beside its own settings."""

    json: bool = False
    """Print the result as JSON on standard output, for programs."""
    dry_run: bool = False
    """Say what would be done, with which settings, and stop."""
    debug: bool = False
    """Show the traceback of an error."""


VERBS = (
    Verb(
        name="quickstart",
        summary="make a language model from the text on this machine, in minutes",
        module="trivium.cli.recipe",
        example="trivium quickstart --minutes 5",
    ),
    Verb(
        name="prepare",
        summary="make token shards from text: clean, deduplicate, split; look at them; forget",
        module="trivium.cli.prepare",
        example="trivium prepare notes/ --output prepared",
        leading="sources",
    ),
    Verb(
        name="pretrain",
        summary="train a model from nothing on prepared text",
        module="trivium.cli.recipe",
        example="trivium pretrain recipe.yaml --steps 1000",
        leading="recipe",
    ),
    Verb(
        name="finetune",
        summary="train a finished model further on examples",
        module="trivium.cli.recipe",
        example="trivium finetune recipe.yaml --steps 200",
        leading="recipe",
    ),
    Verb(
        name="evaluate",
        summary="measure a model on text it has not seen",
        module="trivium.cli.recipe",
        example="trivium evaluate runs/quickstart --data held_out.txt --json",
        leading="model",
    ),
    Verb(
        name="generate",
        summary="continue a prompt",
        module="trivium.cli.generate",
        example='trivium generate runs/quickstart --prompt "Return the" --max-new-tokens 40',
        leading="model",
    ),
    Verb(
        name="chat",
        summary="talk with a model",
        module="trivium.cli.chat",
        example="trivium chat runs/quickstart",
        leading="model",
    ),
    Verb(
        name="models",
        summary="list the architectures, in the order of history; or what a model was made from",
        module="trivium.cli.models",
        example="trivium models --json",
    ),
    Verb(
        name="doctor",
        summary="say what this machine can do, and what follows from it",
        module="trivium.cli.doctor",
        example="trivium doctor",
    ),
)
