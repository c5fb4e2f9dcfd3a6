"""`trivium generate`: continues prompts; on a terminal one is shown as it is written."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import tyro

from trivium.cli import arguments, probabilities
from trivium.cli.dry_run import using
from trivium.cli.output import print_json, print_plan
from trivium.cli.prompts import read_prompts
from trivium.cli.sampling import Sampling, Searching
from trivium.cli.terminal import Stream, console, visible, write
from trivium.cli.verbs import Options, Verb
from trivium.errors import Unsupported
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Generation

# Prompts of a file that are answered together: enough to be fast, few enough that answers come along the way.
_AT_ONCE = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Continues a prompt with a model."""

    model: str
    """The folder of a model, of a checkpoint or of a run."""
    prompt: str | None = None
    """The text to continue; standard input unless given."""
    input: pathlib.Path | None = None
    """A file of prompts, one a line; of a .jsonl file, each line a text or {"prompt": text}."""
    output: pathlib.Path | None = None
    """File to write the answers to, instead of standard output."""
    adapter: str | None = None
    """The folder of a PEFT adapter to answer with."""
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = dataclasses.field(default_factory=Sampling)
    searching: tyro.conf.OmitArgPrefixes[Searching] = dataclasses.field(default_factory=Searching)
    show_probabilities: bool = False
    """Colour each token by its probability, and list what might have stood in its place."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    dtype: Literal["float32", "bfloat16", "float16", "float64", "auto"] = "float32"
    """Number format of the weights."""

    def arguments(self) -> dict[str, Any]:
        """As `LanguageModel.generate` takes them."""
        return {**self.sampling.arguments(), **self.searching.arguments()}


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints the continuations: live on a terminal, as text elsewhere, as one JSON a line with --json."""
    settings = arguments.parse(GenerateConfig, verb, words)
    if options.dry_run:
        known = settings.prompt is not None or settings.input is not None
        prompts = read_prompts(settings.prompt, settings.input) if known else None
        print_plan(settings, using.generating(settings, prompts), options)
        return
    prompts = read_prompts(settings.prompt, settings.input)
    model = load(settings.model, adapter=settings.adapter, device=settings.device, dtype=settings.dtype)
    live = sys.stdout.isatty() and not options.json and settings.output is None and len(prompts) == 1
    if live and settings.searching.is_stream and _stream(model, prompts[0], settings):
        return
    with _written_to(settings.output) as file:
        for start in range(0, len(prompts), _AT_ONCE):
            _answer(model, prompts[start : start + _AT_ONCE], settings, options, file)


def facts(answer: Generation) -> dict[str, Any]:
    """A continuation as plain data; `settings` are the effective ones."""
    return dataclasses.asdict(answer)


def _stream(model: LocalModel, prompt: str, settings: GenerateConfig) -> bool:
    """Shows the prompt, and the answer as it grows; False where the model's own settings ask for a search."""
    try:
        request, steps = model.follow(prompt, **settings.sampling.arguments())
    except Unsupported:
        return False
    view, shown = console(), 0
    write(view, prompt, "dim")
    for _ in steps:
        write(view, "".join(request.pieces[shown:]), "cyan")
        shown = len(request.pieces)
    view.print()
    if settings.show_probabilities:
        view.print()
        probabilities.show(view, probabilities.look(model, request.prompt, request.token_ids))
    return True


def _answer(model: LocalModel, prompts: list[str], settings: GenerateConfig, options: Options, file: Stream) -> None:
    answers = model.generate(prompts, **settings.arguments())
    for number, answer in enumerate(answers):
        prompt, seen = prompts[number // settings.searching.n], []
        if settings.show_probabilities:
            seen = probabilities.look(model, model.prompt_ids(prompt), answer.token_ids)
        if options.json:
            more: dict[str, Any] = {} if settings.input is None else {"prompt": prompt}
            if settings.show_probabilities:
                more["alternatives"] = [token.alternatives for token in seen]
            print_json({**more, **facts(answer)}, file)
        elif settings.show_probabilities:
            probabilities.show(console(file=file), seen)
        else:
            print(visible(answer.text) if file.isatty() else answer.text, file=file, flush=True)


@contextlib.contextmanager
def _written_to(path: pathlib.Path | None) -> Iterator[Stream]:
    if path is None:
        yield sys.stdout
        return
    with path.open("w", encoding="utf-8") as file:
        yield file
    print(f"written to {path}", file=sys.stderr)
