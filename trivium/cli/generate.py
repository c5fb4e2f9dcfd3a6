"""`trivium generate`: continues prompts; on a terminal one is shown as it is written."""

import contextlib
import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import tyro

from trivium.cli import arguments, probabilities
from trivium.cli.dry_run import using
from trivium.cli.output import print_json, print_plan
from trivium.cli.probabilities import require_probabilities
from trivium.cli.prompts import read_prompts
from trivium.cli.sampling import LOOKUP, Sampling, Searching
from trivium.cli.terminal import Stream, console, visible, write
from trivium.cli.verbs import Options, Verb
from trivium.errors import ConfigError, Unsupported
from trivium.generation.request import Request
from trivium.generation.settings import Search
from trivium.lm.generating import ROWS_AT_ONCE
from trivium.lm.hosted.model import HostedModel
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Generation
from trivium.runtime.progress import Bar, bar
from trivium.tokenizers import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Continues a prompt with a model."""

    model: str
    """The folder of a model, of a checkpoint or of a run; or a service: openai:MODEL, anthropic:MODEL,
    openai:MODEL@http://127.0.0.1:8000/v1, or a .yaml file of its settings."""
    prompt: str | None = None
    """The text to continue; standard input unless given."""
    suffix: str | None = None
    """What comes after the gap: the model writes what stands between the prompt and this (code models)."""
    input: pathlib.Path | None = None
    """A file of prompts, one a line; of a .jsonl file, each line a text or {"prompt": text}."""
    output: pathlib.Path | None = None
    """File to write the answers to, instead of standard output."""
    adapter: tuple[str, ...] = ()
    """The folder of a PEFT adapter, or of a run that made one, to answer with; given several, each prompt is answered
    with each of them, all in one batch."""
    any_base: bool = False
    """Use adapters also on other weights than those they were made for: you know better."""
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = dataclasses.field(default_factory=Sampling)
    searching: tyro.conf.OmitArgPrefixes[Searching] = dataclasses.field(default_factory=Searching)
    show_probabilities: bool = False
    """Colour each token by its probability, and list what might have stood in its place."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    dtype: Literal["float32", "bfloat16", "float16", "float64", "auto"] = "float32"
    """Number format of the weights."""

    def __post_init__(self) -> None:
        if self.suffix is not None and (self.show_probabilities or self.searching.draft is not None):
            raise ConfigError(
                "what stands in a gap is neither drafted nor shown with its probabilities",
                received="--suffix with " + ("--draft" if self.searching.draft is not None else "--show-probabilities"),
                fix="leave one of them out",
            )

        apart = {"suffix": self.suffix is not None, "show-probabilities": self.show_probabilities}
        apart["draft"] = self.searching.draft is not None
        if len(self.adapter) > 1 and any(apart.values()):
            raise ConfigError(
                "several adapters answer together where texts are simply continued",
                received=f"{len(self.adapter)} adapters with --{next(name for name, given in apart.items() if given)}",
                fix="give one adapter at a time",
            )

    @property
    def adapters(self) -> dict[str | None, str]:
        """Of several adapters, the folders by the names that they are loaded under; None stands for the active one."""
        if len(self.adapter) < 2:
            return {None: "".join(self.adapter)}
        return {f"adapter_{number}": folder for number, folder in enumerate(self.adapter)}

    def arguments(self, tokenizer: Tokenizer | None) -> dict[str, Any]:
        """As `LanguageModel.generate` takes them, but for the draft."""
        return {**self.sampling.arguments(tokenizer), **self.searching.arguments()}


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints the continuations: live on a terminal, as text elsewhere, as one JSON a line with --json."""
    settings = arguments.parse(GenerateConfig, verb, words)
    if options.dry_run:
        known = settings.prompt is not None or settings.input is not None
        prompts = read_prompts(settings.prompt, settings.input) if known else None
        print_plan(settings, using.generating(settings, prompts), options)
        return
    prompts = read_prompts(settings.prompt, settings.input)
    several = {name: folder for name, folder in settings.adapters.items() if name is not None}
    model = load(
        settings.model,
        adapter=dict(several) or (settings.adapter[0] if settings.adapter else None),
        any_base=settings.any_base,
        device=settings.device,
        dtype=settings.dtype,
    )
    if settings.show_probabilities:
        require_probabilities(model)
    if settings.suffix is not None:
        _complete(model, [(prompt, settings.suffix) for prompt in prompts], settings, options)
        return
    live = sys.stdout.isatty() and not options.json and settings.output is None and len(prompts) == 1 and not several
    if live and settings.searching.is_stream and _stream(model, prompts[0], settings):
        return
    asked, n = [(prompt, name) for prompt in prompts for name in settings.adapters], settings.searching.n
    with (
        _written_to(settings.output) as file,
        bar("generate", len(asked) * n, unit="answers", silent=settings.output is None) as progress,
    ):
        for number, answer in enumerate(_answers(model, prompts, settings, progress)):
            prompt, name = asked[number // n]
            _print(model, prompt, answer, settings, options, file, adapter=several.get(name or ""))


def _complete(
    model: LocalModel | HostedModel, pairs: list[tuple[str, str]], settings: GenerateConfig, options: Options
) -> None:
    """Prints what stands in the gaps."""
    if isinstance(model, HostedModel):
        model.complete(*pairs[0])  # refused, with what can be asked of a service
        return
    answers = model.completions(pairs, **settings.arguments(model.tokenizer))
    with _written_to(settings.output) as file:
        for number, answer in enumerate(answers):
            _print(model, pairs[number // settings.searching.n][0], answer, settings, options, file)


def facts(answer: Generation) -> dict[str, Any]:
    """A continuation as plain data; `settings` are the effective ones."""
    return dataclasses.asdict(answer)


def _stream(model: LocalModel | HostedModel, prompt: str, settings: GenerateConfig) -> bool:
    """Shows the prompt, and the answer as it grows; False where the model's own settings ask for a search."""
    try:
        request, steps = model.follow(prompt, **settings.sampling.arguments(model.tokenizer))
    except Unsupported:
        return False
    view, shown = console(), 0
    write(view, prompt, "dim")
    try:
        for _ in steps:
            write(view, "".join(request.pieces[shown:]), "cyan")
            shown = len(request.pieces)
    finally:  # what goes wrong is told in a line of its own
        view.print()
    if settings.show_probabilities and isinstance(model, LocalModel):
        view.print()
        probabilities.show(view, probabilities.look(model, request.prompt, request.token_ids))
    return True


def _answers(
    model: LocalModel | HostedModel, prompts: list[str], settings: GenerateConfig, progress: Bar
) -> Iterator[Generation]:
    """The answers in the order of the prompts, each as soon as those before it are there; those of several adapters to
    one prompt side by side.

    All are asked at once, so that an answer that ends makes room for the next and none waits for the longest.
    """
    given = settings.arguments(model.tokenizer)
    if isinstance(model, HostedModel):
        for answer in model.answers(prompts, draft=settings.searching.draft, **given):
            progress.advance()
            yield answer
        return
    if (draft := settings.searching.draft) is not None:
        drafting = draft if draft == LOOKUP else load(pathlib.Path(draft), device=settings.device, dtype=settings.dtype)
        for prompt in prompts:
            yield from model.generate([prompt], draft=drafting, **given)
            progress.advance(settings.searching.n)
        return
    requests = _side_by_side(
        [model.requests(prompts, adapter=name, **given) for name in settings.adapters], len(prompts)
    )
    if any(request.settings.beams > 1 or request.settings.search != Search() for request in requests):
        # A search has groups of its own, none larger, and of one adapter.
        at_once = ROWS_AT_ONCE if len(settings.adapters) == 1 else 1
        for start, name in itertools.product(range(0, len(prompts), at_once), settings.adapters):
            found = model.generate(prompts[start : start + at_once], adapter=name, **given)
            progress.advance(len(found))
            yield from found
        return
    engine = model.engine(slots=ROWS_AT_ONCE, read_tokens=None)
    engine.submit(requests)
    for request in requests:
        while request.finish_reason is None:
            progress.advance(sum(grown.finish_reason is not None for grown in engine.step()))
        if request.error is not None:
            raise request.error
        yield Generation(
            text="".join(request.pieces),
            token_ids=request.token_ids,
            logprobs=request.log_probs,
            finish_reason=request.finish_reason,
            settings=request.settings,
        )


def _side_by_side(of_adapters: Sequence[Sequence[Request]], prompts: int) -> list[Request]:
    """The requests of so many prompts under each adapter, in the order of the prompts."""
    n = len(of_adapters[0]) // max(1, prompts)
    return [one for at in range(prompts) for asked in of_adapters for one in asked[at * n : (at + 1) * n]]


def _print(
    model: LocalModel | HostedModel,
    prompt: str,
    answer: Generation,
    settings: GenerateConfig,
    options: Options,
    file: Stream,
    *,
    adapter: str | None = None,
) -> None:
    """One answer; `adapter` is told where there are several."""
    seen = []
    if settings.show_probabilities and isinstance(model, LocalModel):
        seen = probabilities.look(model, model.prompt_ids(prompt), answer.token_ids)
    if options.json:
        more: dict[str, Any] = {} if settings.input is None else {"prompt": prompt}
        if adapter is not None:
            more["adapter"] = adapter
        if settings.show_probabilities:
            more["alternatives"] = [token.alternatives for token in seen]
        print_json({**more, **facts(answer)}, file)
    elif settings.show_probabilities:
        probabilities.show(console(file=file), seen)
    else:
        text = answer.text if adapter is None else f"{adapter}: {answer.text}"
        print(visible(text) if file.isatty() else text, file=file, flush=True)


@contextlib.contextmanager
def _written_to(path: pathlib.Path | None) -> Iterator[Stream]:
    if path is None:
        yield sys.stdout
        return
    with path.open("w", encoding="utf-8") as file:
        yield file
    print(f"written to {path}", file=sys.stderr)
