"""`trivium tokenize`: a text as its tokens, coloured with their ids; or what each language or file costs in tokens."""

import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from trivium import tokenizers
from trivium.cli import arguments
from trivium.cli.output import print_json, print_settings
from trivium.cli.prompts import read_standard_input
from trivium.cli.terminal import console
from trivium.cli.verbs import Options, Verb
from trivium.data.documents import Document
from trivium.data.readers import HARMLESS, Part, PassedOver, ReadOptions, list_parts, printable, read_part
from trivium.errors import ConfigError, DataError, StorageError
from trivium.runtime.progress import bar
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.fertility import Fertility, as_table, fertility
from trivium.tokenizers.fertility import as_html as fertility_page
from trivium.tokenizers.pieces import as_html, as_plain, pieces, with_ids

_SHOWN_PASSED_OVER = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizeConfig:
    """Shows a text as its tokens, each with its id; or, with --fertility, how many tokens languages or files cost."""

    tokenizer: pathlib.Path
    """The folder of a tokenizer, a model, prepared data or a run; or a tokenizer's file."""
    text: str | None = None
    """The text; standard input unless given."""
    file: pathlib.Path | None = None
    """Instead, a file of any kind that `trivium prepare` reads."""
    characters: int = 2000
    """Show at most so many characters; 0 shows all."""
    special: bool = False
    """Read special tokens where the text spells them, as in what a chat template writes."""
    html: pathlib.Path | None = None
    """Write a page instead, of the text or of the table."""
    fertility: tuple[str, ...] = ()
    """Instead, files, folders or archives: a row for each language that they state, or for each file."""
    reading: ReadOptions = dataclasses.field(default_factory=ReadOptions)
    """How files are read: encoding, names of fields."""

    def __post_init__(self) -> None:
        given = [name for name in ("text", "file", "fertility") if getattr(self, name) not in (None, ())]
        if len(given) > 1:
            raise ConfigError(
                "there are several things to look at", received=", ".join(f"--{name}" for name in given), fix="give one"
            )
        if self.characters < 0:
            raise ConfigError("characters must not be negative", received=self.characters, expected="0 for all")


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints the tokens, coloured on a terminal; or the table; with --json one object."""
    config = arguments.parse(TokenizeConfig, verb, words)
    if options.dry_run:
        print_settings(config, options)
        return
    tokenizer = _loaded(config.tokenizer)
    if config.fertility:
        _compare(tokenizer, config, options)
    else:
        _show(tokenizer, config, options)


def _loaded(path: pathlib.Path) -> Tokenizer:
    if not (path / "checkpoints").is_dir():
        return tokenizers.load(path)
    from trivium.lm.load import saved_folder  # a run; it imports torch, which a tokenizer does without

    return tokenizers.load(saved_folder(path))


def _show(tokenizer: Tokenizer, config: TokenizeConfig, options: Options) -> None:
    text = _text(config)
    shown = text[: config.characters or None]
    found = pieces(tokenizer, shown, config.special)
    if config.html is not None:
        _write(config.html, as_html(found))
        print(config.html)
    elif options.json:
        print_json(_facts(tokenizer, shown, found) | {"cut": len(shown) < len(text)})
    else:
        view = console()
        view.print(with_ids(found, view.width) if view.is_terminal else as_plain(found))
        size = len(shown.encode("utf-8", "replace"))
        view.print(f"\n{len(found):,} tokens for {len(shown):,} characters, {size:,} bytes")
    if len(shown) < len(text):
        print(f"only the first {len(shown):,} characters: --characters 0 shows all", file=sys.stderr)


def _facts(tokenizer: Tokenizer, text: str, found: Sequence[Any]) -> dict[str, Any]:
    return {
        "vocabulary_size": tokenizer.vocabulary_size,
        "characters": len(text),
        "bytes": len(text.encode("utf-8", "replace")),
        "tokens": len(found),
        "ids": [piece.id for piece in found],
        "pieces": [dataclasses.asdict(piece) for piece in found],
    }


def _text(config: TokenizeConfig) -> str:
    if config.text is not None:
        return config.text
    if config.file is not None:
        wanted = config.characters + 1 if config.characters else None  # one more tells that there is more
        passed_over: list[PassedOver] = []
        text = _beginning(_named_texts([str(config.file)], config.reading, passed_over), wanted)
        if not text and passed_over:
            raise passed_over[0].error(str(config.file))
        return text
    if sys.stdin.isatty():
        raise ConfigError(
            "there is nothing to look at", fix='give --text "some words", --file FILE, or text on standard input'
        )
    return read_standard_input()


def _beginning(texts: Iterable[tuple[str, str]], characters: int | None) -> str:
    """The texts with a line end between them, no more of them than so many characters."""
    found: list[str] = []
    size = 0
    for _, text in texts:
        found.append(text)
        size += len(text) + 1
        if characters is not None and size > characters:
            break
    return "\n".join(found)[:characters]


def _compare(tokenizer: Tokenizer, config: TokenizeConfig, options: Options) -> None:
    passed_over: list[PassedOver] = []
    rows = fertility(tokenizer, _named_texts(config.fertility, config.reading, passed_over, progress=True))
    if not rows:
        raise DataError("there is no text to measure", received=", ".join(config.fertility), fix="name files with text")
    rows = _with_short_names(rows)
    if config.html is not None:
        _write(config.html, fertility_page(rows))
        print(config.html)
    elif options.json:
        told = [{"name": found.name, "reason": found.reason} for found in passed_over]
        print_json({"fertility": [row.row() for row in rows], "passed_over": told})
    else:
        console().print(as_table(rows))
    for found in passed_over[:_SHOWN_PASSED_OVER]:
        print(f"passed over: {found}", file=sys.stderr)
    if len(passed_over) > _SHOWN_PASSED_OVER:
        print(f"and {len(passed_over) - _SHOWN_PASSED_OVER:,} more were passed over", file=sys.stderr)


def _named_texts(
    sources: Sequence[str], reading: ReadOptions, passed_over: list[PassedOver], *, progress: bool = False
) -> Iterator[tuple[str, str]]:
    """(language or file, text) of every document; ``passed_over`` is told of what cannot be read in folders.

    Raises:
        DataError: a source that is missing, or a named file that cannot be read.
    """
    listed = [(source, found) for source in sources for found in list_parts(source, reading)]
    with bar("reading", len(listed), unit="files", silent=not progress or len(listed) < 2) as shown:
        for source, part in listed:
            yield from _texts_of(source, part, reading, passed_over)
            shown.advance(1)


def _texts_of(
    source: str, part: Part | PassedOver, reading: ReadOptions, passed_over: list[PassedOver]
) -> Iterator[tuple[str, str]]:
    if isinstance(part, PassedOver):
        passed_over.append(part)
        return
    for found in read_part(part, reading):
        if isinstance(found, Document):
            file = part.name if found.kind == "record" else found.id
            yield printable(found.language or file), found.text
        elif found.name == part.name and part.is_named and found.reason not in HARMLESS:
            raise found.error(source)
        else:
            passed_over.append(found)


def _with_short_names(rows: Sequence[Fertility]) -> list[Fertility]:
    """Names without the folders that all of them share."""
    folders = [row.language.split("/")[:-1] for row in rows]
    shared = 0
    while all(len(path) > shared and path[shared] == folders[0][shared] for path in folders):
        shared += 1
    return [dataclasses.replace(row, language="/".join(row.language.split("/")[shared:])) for row in rows]


def _write(path: pathlib.Path, page: str) -> None:
    head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>tokens</title></head><body>'
    try:
        path.write_text(f"{head}{page}</body></html>\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            "the page cannot be written", received=f"{path}: {error.strerror}", fix="choose another --html"
        ) from error
