"""What a run would be trained on, token by token: taken from the very batches that training gets.

    inspected = inspect_prepared(open_prepared("prepared"), documents=3)
    inspected.show()                              # on the terminal
    Path("inspect.html").write_text(inspected.html())

Each token is either trained on (the model is to predict it from those before), or context that is only read.
"""

import dataclasses
import html
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.text import Text

from trivium.data.batches import CausalBatch
from trivium.data.prepared import Prepared
from trivium.data.sampler import BatchSource, PackedSource, WindowSource
from trivium.lm.load import saved_folder
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.tuning_data import examples_source, read_examples
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer, load
from trivium.tokenizers.pieces import COLOURS, GROUNDS, printable, readable_bytes

_CONTEXT_TOKENS = 256
_MOST_BATCHES = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeenToken:
    """A token of a batch."""

    piece: str
    """Its text, or the name of a special token; bytes that are no character stand as <0xE2>."""
    id: int
    """Its number in the vocabulary."""
    row: int
    """Its row, counted over the batches."""
    segment: int
    """Which of the documents packed in the row it belongs to: nothing is seen across documents."""
    position: int
    """Its place in the document as the model reads it: positions begin again in each."""
    trained: bool
    """Whether the model is to predict it from what stands before it; otherwise it is only read."""
    target: int | None
    """The id that the model is to predict after it, where that is trained on."""
    special: bool
    """Whether it is a special token."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspected:
    """Some documents of the batches."""

    documents: tuple[tuple[SeenToken, ...], ...]
    """One after another, each with its tokens in order; the last of each is only predicted, never read."""
    title: str
    """What it is."""

    def show(self, console: Console | None = None) -> None:
        """Prints it: what is trained on in changing colours, a token each, context dim, special tokens inverted."""
        console = console or Console(highlight=False)
        console.print(Text(self.title, "bold"))
        console.print(_legend())
        for number, document in enumerate(self.documents):
            console.rule(Text(_heading(number, document)), align="left", style="dim")
            console.print(_as_text(document), soft_wrap=True)

    def html(self) -> str:
        """A page that needs nothing else; pointing at a token tells its id, position and target."""
        parts = [_PAGE_BEGIN.replace("TITLE", html.escape(self.title))]
        for number, document in enumerate(self.documents):
            parts.append(f"<h2>{html.escape(_heading(number, document))}</h2><p>")
            parts += [_as_html(token, place) for place, token in enumerate(document)]
            parts.append("</p>")
        return "".join(parts) + "</body></html>\n"

    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        return {"title": self.title, "documents": [[dataclasses.asdict(t) for t in d] for d in self.documents]}


def inspect_prepared(
    prepared: Prepared, documents: int = 3, *, context_tokens: int = _CONTEXT_TOKENS, seed: int = 0
) -> Inspected:
    """The first ``documents`` of the batches that pre-training on ``prepared`` would get.

    Raises:
        DataError: there is less text than one token with its target.
    """
    width = max(1, min(context_tokens, prepared.train.num_tokens - 1))
    # As pre-training reads: a book held out by its tail in windows, everything else packed.
    kind = WindowSource if prepared.manifest["split"] == "tail" else PackedSource
    source = kind(prepared.train, context_tokens=width, rows=1, seed=seed)
    return inspect_source(source, prepared.tokenizer, documents, title=f"training text of {prepared.folder}")


def inspect_examples(config: FinetuneConfig, documents: int = 3) -> Inspected:
    """The first ``documents`` of the batches that fine-tuning by ``config`` would get; the model is not loaded.

    Raises:
        DataError, CheckpointError, TokenizerError: as `finetune` would.
    """
    tokenizer = load(saved_folder(config.model))
    training, _ = read_examples(config, tokenizer)
    source = examples_source(config, training, tokenizer, processes.place())()
    return inspect_source(source, tokenizer, documents, title=f"examples of {config.data}")


def inspect_source(source: BatchSource[CausalBatch], tokenizer: Tokenizer, documents: int, *, title: str) -> Inspected:
    """The first ``documents`` of the batches of ``source``, which goes on by as many batches as they take."""
    found: list[tuple[SeenToken, ...]] = []
    row = 0
    for _ in range(_MOST_BATCHES):
        batch = next(source)
        for within in range(batch.rows):
            found += _documents(batch, within, row, tokenizer)
            row += 1
        if len(found) >= documents:
            break
    return Inspected(documents=tuple(found[:documents]), title=title)


def _documents(batch: CausalBatch, row: int, number: int, tokenizer: Tokenizer) -> Iterator[tuple[SeenToken, ...]]:
    """The documents of one row of a batch."""
    length = int(batch.lengths[row])
    segments = [0] * length if batch.segments is None else batch.segments[row, :length].tolist()
    tokens, targets = (ids[row, :length].tolist() for ids in (batch.tokens, batch.targets))
    mask = batch.mask[row, :length].tolist()
    begin = 0
    while begin < length:
        end = begin + segments[begin:].count(segments[begin])
        # Each position reads a token and predicts the next: a token is trained on at the position before its own.
        ids = [*tokens[begin:end], targets[end - 1]]
        trained = [False, *mask[begin:end]]
        yield tuple(
            SeenToken(
                piece=readable_bytes(tokenizer.token_bytes(ids[place])),
                id=ids[place],
                row=number,
                segment=segments[begin],
                position=place,
                trained=trained[place],
                target=ids[place + 1] if place + 1 < len(ids) and trained[place + 1] else None,
                special=ids[place] in tokenizer.special_tokens.values(),
            )
            for place in range(len(ids))
        )
        begin = end


def _heading(number: int, document: tuple[SeenToken, ...]) -> str:
    trained = sum(token.trained for token in document)
    first = document[0]
    return f"document {number + 1}: row {first.row}, segment {first.segment}, {len(document)} tokens, {trained} trained"


def _legend() -> Text:
    trained = Text("trained on", _style(True, False, 0)).append(", a colour a token", _style(True, False, 1))
    return Text("  ").join((trained, Text("context only", "dim"), Text("special token", "reverse")))


def _style(trained: bool, special: bool, place: int) -> Style:
    """Neighbours differ, so that one sees where a token ends."""
    underlined = bool(place % 2)  # where there are no colours, this shows it
    if trained:
        ground = GROUNDS[place % len(GROUNDS)]
        return Style(color="black", bgcolor=ground, bold=True, underline=underlined, reverse=special)
    return Style(dim=True, underline=underlined, reverse=special)


def _as_text(document: tuple[SeenToken, ...]) -> Text:
    text = Text()
    for place, token in enumerate(document):
        text.append(printable(token.piece), _style(token.trained, token.special, place))
    return text


def _as_html(token: SeenToken, place: int) -> str:
    kinds = ["trained" if token.trained else "context", *(["special"] if token.special else [])]
    ground = f' style="background:{COLOURS[place % len(COLOURS)]}"' if token.trained and not token.special else ""
    predicts = "" if token.target is None else f", predicts {token.target}"
    told = f"id {token.id}, segment {token.segment}, position {token.position}{predicts}"
    piece = html.escape(printable(token.piece, tab="\t"))
    return f'<span class="{" ".join(kinds)}"{ground} title="{told}">{piece}</span>'


_PAGE_BEGIN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>TITLE</title><style>
body { font: 15px/1.7 ui-monospace, monospace; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.1rem } h2 { font-size: 0.9rem; border-top: 1px solid #999; padding-top: 0.6rem }
p { white-space: pre-wrap; overflow-wrap: anywhere }
span { border-radius: 3px; box-shadow: inset -1px 0 #fff8 }
.trained { background: GROUND; color: #000; font-weight: 600 }
.context { color: #767676; box-shadow: inset -1px 0 #ccc }
.special { background: #333; color: #fff } .special.trained { background: #17602a }
</style></head><body><h1>TITLE</h1>
<p><span class="trained">trained on</span>, a colour a token <span class="context">context only</span>
<span class="special">special token</span></p>
""".replace("GROUND", COLOURS[0])
