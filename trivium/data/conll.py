"""Tagged text in the columns of the CoNLL shared tasks: a word a line with its tag, an empty line between sentences.

file = read_conll(Path("train.conll.gz"))
file.sentences[0].words, file.sentences[0].tags         # ("Rome", "is", ...), ("B-LOC", "O", ...)

The first column is the word and the last the tag; columns stand apart by tabs, or by blanks where a line has no tab.
``-DOCSTART-`` lines are passed over, and so are comments: lines before a sentence that begin with #. "#" may also be a
word, so that the other lines decide: one with as many columns as they have is a word, unless its columns stand apart by
blanks and what would be its tag is that of no line without a # ("# Document" among "Rome B-LOC" is a comment).

Tags that mark spans follow one of three schemes:

    IOB1    I-LOC goes on and begins too; B-LOC begins only right after another LOC (Ramshaw and Marcus 1995)
    IOB2    B-LOC begins, I-LOC goes on (Tjong Kim Sang and Veenstra 1999)
    IOBES   B-LOC begins, I-LOC goes on, E-LOC ends; S-LOC is a span of one word

The scheme is recognised and every tag is held against it. IOB1 is rewritten as IOB2, which says the same.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from trivium.data.documents import read_text
from trivium.data.spans import Scheme
from trivium.errors import DataError

LETTERS: dict[Scheme, str] = {"iob2": "BI", "iobes": "BIES"}
"""What stands before the type of a span, by scheme."""

_OUTSIDE = "O"
_DOCUMENT = "-DOCSTART-"
_SPAN = re.compile(r"([BIES])-(.+)", re.DOTALL)
_BLANKS = re.compile(" +")
_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class TaggedSentence:
    """Words with a tag each."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int
    """Line of the first word in its file, counted from 1; a sentence's words stand on consecutive lines."""


@dataclass(frozen=True, kw_only=True)
class TaggedFile:
    """What a file holds."""

    sentences: list[TaggedSentence]
    """At least one, none of them empty."""
    scheme: Scheme | None
    """How its tags mark spans; None where they mark none, as parts of speech."""


def read_conll(path: Path, *, encoding: str = "utf-8") -> TaggedFile:
    """The sentences of a file, which may be compressed.

    Raises:
        DataError: no sentence, a line with more or fewer columns than the first, or a tag that breaks the scheme; the
            line is named.
    """
    # Not splitlines: a line separator inside a word (U+2028, a form feed) does not end a line.
    lines = read_text(path, encoding).split("\n")
    sentences = [
        TaggedSentence(words=tuple(row[0] for row in rows), tags=tuple(row[-1] for row in rows), line=line)
        for line, rows in read_columns(lambda: enumerate(lines, start=1), str(path), tagged=True)
    ]
    if not sentences:
        raise DataError("there are no tagged words in the file", received=path, expected=_FORM)
    spans = _is_of_spans(path, sentences)
    if not spans:
        return TaggedFile(sentences=sentences, scheme=None)
    if any(tag[:2] in ("E-", "S-") for sentence in sentences for tag in sentence.tags):
        for sentence in sentences:
            _check_iobes(path, sentence)
        return TaggedFile(sentences=sentences, scheme="iobes")
    return TaggedFile(sentences=_as_iob2(path, sentences), scheme="iob2")


def tag_labels(files: Sequence[TaggedFile]) -> tuple[tuple[str, ...], Scheme | None]:
    """Every tag that a model of these files may give, in an order of their own, and the scheme of all of them.

    Where tags mark spans, the labels are all that the scheme has for each type, seen or not: a type may come in
    several words only later. Raises `DataError` for files that do not mark spans in the same way.
    """
    tags = {tag for file in files for sentence in file.sentences for tag in sentence.tags}
    types = sorted({found[2] for found in map(_SPAN.fullmatch, tags) if found is not None})
    schemes: list[Scheme] = sorted({file.scheme for file in files if file.scheme is not None})
    if not schemes:
        return tuple(sorted(tags)), None
    labels = (_OUTSIDE, *(f"{letter}-{kind}" for kind in types for letter in LETTERS[schemes[0]]))
    if not tags <= {*labels}:
        raise DataError(
            "the files do not mark spans in the same way",
            received=", ".join(str(file.scheme) for file in files),
            expected="the same scheme in all of them",
            fix="write the tags of one of them anew",
        )
    return labels, schemes[0]


# Lines ---------------------------------------------------------------------------------------------------------------

_FORM = "a word and its tag on each line, an empty line between sentences"

Lines = Iterator[tuple[int, str]]
"""Lines of a file with their numbers."""


def read_columns(lines: Callable[[], Lines], where: str, *, tagged: bool) -> Iterator[tuple[int, list[list[str]]]]:
    """(line of its first word, the columns of each of its words) of every sentence; only one sentence is held.

    ``lines`` is called twice, since all of them say which lines are comments; ``where`` names them in errors. Without
    ``tagged`` there may be one column, and the last may be empty: tags are not looked at.

    Raises:
        DataError: a line with more or fewer columns than those before, or without a word.
    """
    columns, known = _known(lines())
    first, rows = 0, []
    for number, line in lines():
        cells = _cells(line)
        if not cells or cells[0] == _DOCUMENT:
            if rows:
                yield first, rows
            rows = []
            continue
        if not rows and line.startswith("#") and _is_comment(line, cells, columns or 2, known):
            continue
        columns = columns or len(cells)
        if len(cells) != columns or not cells[0] or (tagged and not (columns > 1 and cells[-1])):
            _refuse(where, number, line, columns, tagged)
        first = first if rows else number
        rows.append(cells)
    if rows:
        yield first, rows


def _known(lines: Lines) -> tuple[int, set[str]]:
    """How many columns the first line of a word has that does not begin with #, and the tags of all such lines."""
    columns, tags = 0, set[str]()
    for _, line in lines:
        cells = [] if line.startswith("#") else _cells(line)
        if cells and cells[0] != _DOCUMENT:
            columns = columns or len(cells)
            if len(cells) > 1:
                tags.add(cells[-1])
    return columns, tags


def _is_comment(line: str, cells: Sequence[str], columns: int, known: set[str]) -> bool:
    """Of a line before a sentence that begins with #."""
    if len(cells) != columns:
        return True
    return len(cells) > 1 and cells[0] == "#" and "\t" not in line and cells[-1] not in known


def _cells(line: str) -> list[str]:
    if not line.strip():
        return []
    # Blanks alone: a space that does not break a line may stand inside a word ("10 000").
    line = line.strip(" \r")
    return [cell.strip(" ") for cell in line.split("\t")] if "\t" in line else _BLANKS.split(line)


def _refuse(where: str, number: int, line: str, columns: int, tagged: bool) -> NoReturn:
    usual = f"{columns} columns, as on the lines before: a word first" + (", its tag last" if tagged else "")
    raise DataError(
        "a line of the tagged text cannot be read" if tagged else "a line of the words cannot be read",
        received=f"{where}, line {number}: {line[:_SHOWN]!r}",
        expected=_FORM if tagged and columns < 2 else usual,
        fix="correct or remove the line; columns stand apart by tabs, or all of them by blanks",
    )


# Schemes -------------------------------------------------------------------------------------------------------------


def _is_of_spans(path: Path, sentences: Sequence[TaggedSentence]) -> bool:
    """Whether the tags mark spans; `DataError` where some do and others cannot."""
    marks, plain = None, None
    for sentence in sentences:
        for number, tag in enumerate(sentence.tags, start=sentence.line):
            if _SPAN.fullmatch(tag):
                marks = marks or (number, tag)
            elif tag != _OUTSIDE:
                plain = plain or (number, tag)
    if marks and plain:
        raise DataError(
            "some tags mark spans and others do not",
            received=f"{path}, line {marks[0]}: {marks[1]!r}, line {plain[0]}: {plain[1]!r}",
            expected="O, B-TYPE, I-TYPE (and E-TYPE, S-TYPE), or tags that mark no spans at all",
        )
    return marks is not None


def _check_iobes(path: Path, sentence: TaggedSentence) -> None:
    opened = ""
    for number, tag in enumerate([*sentence.tags, _OUTSIDE], start=sentence.line):
        letter, _, kind = tag.partition("-")
        if (letter in "IE" and kind != opened) or (letter in "BSO" and opened):
            fault = f"inside a {opened} that no E-{opened} has ended" if opened else "with no span to go on with"
            at_end = number == sentence.line + len(sentence.tags)
            raise DataError(
                "a tag breaks the scheme IOBES",
                received=f"{path}, line {number}: " + (f"the sentence ends {fault}" if at_end else f"{tag!r} {fault}"),
                expected="B-TYPE (I-TYPE ...) E-TYPE, or S-TYPE for a span of one word",
            )
        opened = kind if letter in "BI" else ""


def _as_iob2(path: Path, sentences: Sequence[TaggedSentence]) -> list[TaggedSentence]:
    """Sentences of IOB1 or IOB2 as IOB2; `DataError` where they are neither."""
    by_inside, by_begin = None, None  # the first span that begins as only IOB1 has it, and as only IOB2 has it
    rewritten = []
    for sentence in sentences:
        before, tags = "", []
        for number, tag in enumerate(sentence.tags, start=sentence.line):
            letter, _, kind = tag.partition("-")
            begins = letter == "I" and kind != before
            if begins:
                by_inside = by_inside or (number, tag)
            elif letter == "B" and kind != before:
                by_begin = by_begin or (number, tag)
            tags.append(f"B-{kind}" if begins else tag)
            before = kind
        rewritten.append(dataclasses.replace(sentence, tags=tuple(tags)))
    if by_inside and by_begin:
        raise DataError(
            "some spans begin with B- and others with I-",
            received=f"{path}, line {by_begin[0]}: {by_begin[1]!r}, line {by_inside[0]}: {by_inside[1]!r}",
            expected="B- at the beginning of every span (IOB2), or only right after another of its type (IOB1)",
            fix=f"write B- on line {by_inside[0]} if a span begins there",
        )
    return rewritten
