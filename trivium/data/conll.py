"""Tagged text in the columns of the CoNLL shared tasks: a word a line with its tag, an empty line between sentences.

file = read_conll(Path("train.conll.gz"))
file.sentences[0].words, file.sentences[0].tags         # ("Rome", "is", ...), ("B-LOC", "O", ...)

The first column is the word and the last the tag; columns stand apart by tabs, or by blanks where a line has no tab.
``-DOCSTART-`` lines are passed over, and so are comments. Tags that mark spans follow one of three schemes:

    IOB1    I-LOC goes on and begins too; B-LOC begins only right after another LOC (Ramshaw and Marcus 1995)
    IOB2    B-LOC begins, I-LOC goes on (Tjong Kim Sang and Veenstra 1999)
    IOBES   B-LOC begins, I-LOC goes on, E-LOC ends; S-LOC is a span of one word

The scheme is recognised and every tag is held against it. IOB1 is rewritten as IOB2, which says the same.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from trivium.data.documents import read_text
from trivium.errors import DataError

Scheme = Literal["iob2", "iobes"]

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


def read_conll(path: Path) -> TaggedFile:
    """The sentences of a file, which may be compressed.

    Raises:
        DataError: no sentence, a line with more or fewer columns than the first, or a tag that breaks the scheme; the
            line is named.
    """
    sentences = list(_sentences(path))
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


def _sentences(path: Path) -> Iterator[TaggedSentence]:
    words: list[str] = []
    tags: list[str] = []
    columns = 0
    # Not splitlines: a line separator inside a word (U+2028, a form feed) does not end a line.
    for number, line in enumerate([*read_text(path).split("\n"), ""], start=1):
        cells = _cells(line)
        document = cells[:1] == [_DOCUMENT]
        if not cells or document:
            if words:
                yield TaggedSentence(words=tuple(words), tags=tuple(tags), line=number - len(words))
            words, tags = [], []
            continue
        # "#" may be a word, with its tag beside it: a comment is known by its columns, and stands before a sentence.
        if not words and line.startswith("#") and len(cells) != (columns or 2):
            continue
        columns = columns or len(cells)
        if len(cells) != columns or len(cells) < 2 or not all((cells[0], cells[-1])):
            _refuse(path, number, line, columns)
        words.append(cells[0])
        tags.append(cells[-1])


def _cells(line: str) -> list[str]:
    if not line.strip():
        return []
    # Blanks alone: a space that does not break a line may stand inside a word ("10 000").
    line = line.strip(" \r")
    return [cell.strip(" ") for cell in line.split("\t")] if "\t" in line else _BLANKS.split(line)


def _refuse(path: Path, number: int, line: str, columns: int) -> NoReturn:
    raise DataError(
        "a line of the tagged text cannot be read",
        received=f"{path}, line {number}: {line[:_SHOWN]!r}",
        expected=_FORM if columns < 2 else f"{columns} columns, as on the lines before: a word first, its tag last",
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
