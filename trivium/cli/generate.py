"""`trivium generate`: continues a prompt, on a terminal as it is written."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any, Literal

import tyro

from trivium.cli import arguments
from trivium.cli.output import print_json, print_settings
from trivium.cli.sampling import Sampling
from trivium.cli.verbs import Options, Verb
from trivium.errors import DataError, UserError
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Generation


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Continues a prompt with a model."""

    model: str
    """The folder of a model, of a checkpoint or of a run."""
    prompt: str | None = None
    """The text to continue; standard input unless given."""
    n: int = 1
    """How many continuations."""
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = dataclasses.field(default_factory=Sampling)
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    dtype: Literal["float32", "bfloat16", "float16", "float64", "auto"] = "float32"
    """Number format of the weights."""


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints the continuations: live on a terminal, as text elsewhere, as one JSON a line with --json."""
    settings = arguments.parse(GenerateConfig, verb, words)
    if options.dry_run:
        print_settings(settings, options)
        return
    prompt = _prompt(settings)
    model = load(settings.model, device=settings.device, dtype=settings.dtype)
    if sys.stdout.isatty() and not options.json and settings.n == 1:
        _stream(model, prompt, settings.sampling)
        return
    for answer in model.generate([prompt], n=settings.n, **settings.sampling.arguments()):
        if options.json:
            print_json(facts(answer))
        else:
            print(answer.text)


def facts(answer: Generation) -> dict[str, Any]:
    """A continuation as plain data; `settings` are the effective ones."""
    return dataclasses.asdict(answer)


def _prompt(settings: GenerateConfig) -> str:
    if settings.prompt is not None:
        return settings.prompt
    if sys.stdin.isatty():
        raise UserError(
            "there is nothing to continue", fix='give --prompt "Once upon a time", or text on standard input'
        )
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise DataError(
            "standard input is not text", received=error, expected="UTF-8", fix="convert it to UTF-8 first"
        ) from error


def _stream(model: LocalModel, prompt: str, sampling: Sampling) -> None:
    for piece in model.stream(prompt, **sampling.arguments()):
        print(piece, end="", flush=True)
    print()
