"""What a model is to answer, whatever it is for: from a file or standard input, one at a time.

text, one a line                 for every kind of model but those that answer questions
.jsonl                           {"text": ...} a line, or a bare "..."; for tagging also {"words": [...]}; of two texts
                                 that belong together {"sentence1": ..., "sentence2": ...}, {"premise": ...,
                                 "hypothesis": ...} or {"text": ..., "text_pair": ...}; to be answered {"question":
                                 ..., "context": ...}
.json                            for questions: the form of SQuAD
.conll .bio .iob .iob2 .tsv      for tagging: a word a line, an empty line after each sentence; tags are not looked at;
                                 also of other endings, where columns are separated by tabs

Each may be compressed. Standard input is lines of JSON where its first line is an object, else text.
"""

import contextlib
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

from trivium.data.conll import Lines, read_columns
from trivium.data.labelled import PAIRED_FIELDS
from trivium.data.questions import Question, read_questions
from trivium.data.readers import Limits, compressed, formats, jsonl, printable
from trivium.errors import DataError
from trivium.lm.purpose import Purpose

STDIN = "-"
FIELDS: dict[Purpose, tuple[str, ...]] = {
    "classification": ("text", "sentence"),
    "regression": ("text", "sentence"),
    "tagging": ("text", "words"),
    "answering": ("question",),
    "embedding": ("text", "sentence"),
    "filling": ("text",),
    "translation": ("text", "source"),
    "summarisation": ("text", "source", "document", "article", "dialogue"),
    "text_to_text": ("text", "source", "sentence"),
}
"""Where a line of JSON holds what is asked for: the first of these that it has."""
_OF_PAIRS = ("classification", "regression")
WRITING = ("translation", "summarisation", "text_to_text")
"""Purposes whose line n answers line n, so that an empty line is an empty text."""

Text = str | list[str] | tuple[str, str] | Question
"""A text; for tagging the words of one; two texts that belong together; a question with the text that answers it."""

_CONLL = (".conll", ".bio", ".iob", ".iob2", ".tsv", ".tab")
_SHOWN, _LOOKED_AT = 80, 20
_FORMS = "lines of text (.txt), or a .jsonl file"


def read_texts(path: str, purpose: Purpose) -> Iterator[Text]:
    """The texts of a file, or of standard input where ``path`` is "-", as they are read.

    Empty lines are passed over, but where a text is written for a text, line n for line n: there they are empty texts.

    Raises ``DataError`` with the line that cannot be used: not UTF-8, not JSON, without a text; and for a file that is
    not there, is empty, or is of another kind.
    """
    kind = _kind(path, purpose)
    found = False
    for text in _WHOLE[kind](path) if kind in _WHOLE else _of_stream(kind, path, purpose):
        found = found or bool(text)
        yield text
    if not found:
        where = "standard input" if path == STDIN else printable(path)
        raise DataError("there are no texts here", received=where, expected="one a line")


def _kind(path: str, purpose: Purpose) -> str:
    if path == STDIN:
        return "either"
    suffix = formats.suffix(path)
    suffix = formats.uncompressed(suffix) or suffix
    if suffix in jsonl.SUFFIXES:
        return "json"
    if suffix in _CONLL and purpose == "tagging":
        return "conll"
    if purpose == "answering":
        if suffix == ".json":
            return "questions"
        raise DataError(
            "questions are not read from this kind of file",
            received=printable(path),
            expected='a .jsonl file of {"question": ..., "context": ...}, or a .json file in the form of SQuAD',
        )
    if suffix in formats.READERS and suffix not in formats.text.PROSE_SUFFIXES:
        also = ", or a CoNLL file (.conll)" if purpose == "tagging" else ""
        raise DataError(
            "texts are not read from this kind of file",
            received=printable(path),
            expected=_FORMS + also,
            fix="write the texts into a file of their own, one a line",
        )
    return "conll" if purpose == "tagging" and _is_in_columns(path) else "text"


def _is_in_columns(path: str) -> bool:
    """Whether the first lines of a file that are not empty all have several columns, with a tab between each two:
    files of the CoNLL tasks have endings of all kinds."""
    with _opened(path) as stream:
        lines = (line for _, line in _lines(stream, printable(path)) if line.strip())
        first = list(itertools.islice(lines, _LOOKED_AT))
    return bool(first) and all("\t" in line.strip() for line in first)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BufferedIOBase]:
    if path == STDIN:
        yield cast(BufferedIOBase, sys.stdin.buffer)
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
        except OSError as error:
            where = f"{printable(path)}: {error.strerror or error}"
            raise DataError("the file cannot be read", received=where, fix="check the path") from error
        suffix = Path(path).suffix.lower()
        yield compressed.expanded(file, suffix, Limits()) if suffix in compressed.SUFFIXES else file


def _lines(stream: BufferedIOBase, name: str) -> Iterator[tuple[int, str]]:
    """Every line with its number, without what ends it."""
    limit, number = Limits().max_record_bytes, 0
    while line := stream.readline(limit + 1):
        number += 1
        if len(line) > limit:
            raise DataError(
                "the line is too long", received=f"{name}, line {number}", expected=f"at most {limit:,} bytes"
            )
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                "the line is not text",
                received=f"{name}, line {number}: byte 0x{line[error.start]:02x}",
                expected="UTF-8",
                fix="convert the file to UTF-8",
            ) from error
        yield number, text.rstrip("\r\n")


# Ways to read lines --------------------------------------------------------------------------------------------------


def _of_text(lines: Lines, name: str, purpose: Purpose) -> Iterator[Text]:
    for _, line in lines:
        if line.strip() or purpose in WRITING:
            yield line.strip()


def _of_json(lines: Lines, name: str, purpose: Purpose) -> Iterator[Text]:
    for number, line in lines:
        if line.strip():
            yield _text_of(line, f"{name}, line {number}", purpose)


def _of_either(lines: Lines, name: str, purpose: Purpose) -> Iterator[Text]:
    first = next(lines, None)
    if first is None:
        return
    rest = _with_first(first, lines)
    plain = not _is_object(first[1]) and purpose != "answering"
    yield from (_of_text if plain else _of_json)(rest, name, purpose)


def _of_conll(path: str) -> Iterator[Text]:
    """The first column, whatever stands beside it. The file is read twice: all its lines say which are comments."""

    def lines() -> Lines:
        with _opened(path) as stream:
            yield from _lines(stream, printable(path))

    for _, rows in read_columns(lines, printable(path), tagged=False):
        yield [cells[0] for cells in rows]


def _of_questions(path: str) -> Iterator[Text]:
    yield from read_questions(Path(path), answered=False)


def _of_stream(kind: str, path: str, purpose: Purpose) -> Iterator[Text]:
    with _opened(path) as stream:
        yield from _WAYS[kind](_lines(stream, printable(path)), printable(path), purpose)


_WAYS = {"text": _of_text, "json": _of_json, "either": _of_either}
_WHOLE = {"conll": _of_conll, "questions": _of_questions}


def _with_first(first: tuple[int, str], rest: Lines) -> Lines:
    yield first
    yield from rest


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _text_of(line: str, where: str, purpose: Purpose) -> Text:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError("the line is not JSON", received=f"{where}: {error}", fix="correct or remove it") from error
    if purpose == "answering":
        return _question_of(value, line, where)
    if purpose in _OF_PAIRS and (pair := _pair_of(value)) is not None:
        return pair
    names = FIELDS[purpose]
    if isinstance(value, dict):
        value = next((value[name] for name in names if value.get(name) is not None), None)
    if purpose in WRITING and _are_words(value):  # the sentences of a text, as where it is learnt from
        value = " ".join(value)
    if isinstance(value, str) and _is_utf8([value]):
        return value.strip()
    if purpose == "tagging" and _are_words(value):
        return list(value)
    raise DataError(
        "the line holds no text",
        received=f"{where}: {line[:_SHOWN]}",
        expected=" or ".join(f'{{"{name}": {"[...]" if name == "words" else "..."}}}' for name in names),
        fix="correct or remove it",
    )


def _pair_of(value: Any) -> tuple[str, str] | None:
    """The two texts of a line that holds two."""
    held = (tuple(value.get(name) for name in names) for names in PAIRED_FIELDS) if isinstance(value, dict) else ()
    for first, second in held:
        if isinstance(first, str) and isinstance(second, str) and _is_utf8([first, second]):
            return first.strip(), second.strip()
    return None


def _question_of(value: Any, line: str, where: str) -> Question:
    held = value if isinstance(value, dict) else {}
    question, context = held.get("question"), held.get("context")
    if not (_is_said(question) and _is_said(context)):
        raise DataError(
            "the line holds no question with its context",
            received=f"{where}: {line[:_SHOWN]}",
            expected='{"question": "...", "context": "..."}',
            fix="correct or remove it",
        )
    return Question(
        question=str(question).strip(), context=str(context), answers=(), id=str(held.get("id", "")), starts=()
    )


def _is_said(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip()) and _is_utf8([text])


def _are_words(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(word, str) and word.strip() for word in value)
        and _is_utf8(value)
    )


def _is_utf8(texts: Sequence[str]) -> bool:
    """Whether no text holds half of a character, as an escape in JSON can."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
