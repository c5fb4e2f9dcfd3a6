"""Tables of text: .csv (RFC 4180) and .tsv, whose first row names the columns. In .tsv a quote is a character."""

import csv
import io
import re
from collections.abc import Iterator
from io import BufferedReader

from trivium.data.documents import Document
from trivium.data.readers.parts import EMPTY, Part, PassedOver, ReadOptions, printable
from trivium.data.readers.records import document_of
from trivium.data.readers.text import marked_encoding, refuse_binary
from trivium.errors import DataError

CSV_SUFFIXES = (".csv",)
TSV_SUFFIXES = (".tsv", ".tab")
_LOOKED_AT_BYTES = 8192
_UNDECODED = re.compile("[\udc80-\udcff]")


class _TooLongError(Exception):
    """A row is longer than a record may be."""


def read_csv(stream: BufferedReader, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """The rows of a .csv file, one at a time; a row that cannot be used is passed over.

    Raises:
        DataError: the file is empty or binary, or none of its columns is the text.
    """
    lines = _Lines(stream, options)
    try:
        yield from _records(csv.reader(lines, strict=True), lines, part, options)
    finally:
        lines.release()


def read_tsv(stream: BufferedReader, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """The rows of a .tsv file, as `read_csv` has them."""
    lines = _Lines(stream, options)
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
    try:
        yield from _records(rows, lines, part, options)
    finally:
        lines.release()


def _records(
    rows: Iterator[list[str]], lines: "_Lines", part: Part, options: ReadOptions
) -> Iterator[Document | PassedOver]:
    limit = options.limits.max_record_bytes
    csv.field_size_limit(limit)
    columns: list[str] | None = None
    while True:
        first = lines.number + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield _bad(part, first, "the row cannot be read", str(error), lines.taken())
            continue
        except _TooLongError:
            yield _bad(part, first, "the row is too long", f"more than {limit:,} characters", lines.taken())
            continue
        if row is None:
            break
        size = lines.taken()
        if row and columns is None:
            columns = _columns(row, options)
        elif row:
            yield _record(row, columns or [], first, lines.encoding, size, part, options)
    if columns is None:
        raise DataError(EMPTY, fix="remove it from the sources")


def _record(
    row: list[str], columns: list[str], number: int, encoding: str, size: int, part: Part, options: ReadOptions
) -> Document | PassedOver:
    if len(row) != len(columns):
        return _bad(part, number, "the row has another number of fields", f"{len(row)} for {len(columns)}", size)
    if any(not field.isascii() and _UNDECODED.search(field) for field in row):
        return _bad(part, number, f"the row is not encoded in {encoding}", "", size)
    return document_of(dict(zip(columns, row, strict=True)), number, part, options, size)


def _columns(row: list[str], options: ReadOptions) -> list[str]:
    if options.text_field not in row:
        raise DataError(
            f"the table has no column `{options.text_field}`",
            received=f"columns: {', '.join(printable(name[:40]) for name in row[:10])}",
            fix="set text_field to the column that holds the text; name the columns where the first row does not",
        )
    return row


def _bad(part: Part, number: int, reason: str, detail: str, size: int) -> PassedOver:
    return PassedOver(name=f"{part.name}:{number}", reason=reason, num_bytes=size, detail=detail)


class _Lines:
    """The lines of a stream as text, no row longer than a record may be; broken bytes are kept as surrogates."""

    def __init__(self, stream: BufferedReader, options: ReadOptions):
        head = stream.peek(_LOOKED_AT_BYTES)[:_LOOKED_AT_BYTES]
        mark, self.encoding = marked_encoding(head, options.encoding)
        if not mark:
            refuse_binary(head, self.encoding)
        stream.read(mark)
        self._text = io.TextIOWrapper(stream, self.encoding, errors="surrogateescape", newline="")
        self._limit = options.limits.max_record_bytes
        self._taken = 0
        self.number = 0
        """How many lines were read."""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        try:
            line = self._text.readline(self._limit + 1)
        except UnicodeDecodeError as error:  # in an encoding of two bytes nothing can be kept
            raise DataError(f"the file is not encoded in {self.encoding}", received=str(error)) from error
        if not line:
            raise StopIteration
        self.number += 1
        self._taken += len(line)
        if self._taken > self._limit:
            while not line.endswith(("\n", "\r")) and (line := self._text.readline(self._limit)):
                self._taken += len(line)
            raise _TooLongError
        return line

    def release(self) -> None:
        """Gives the stream back, to be closed by its owner."""
        self._text.detach()

    def taken(self) -> int:
        """Characters read since this was last asked."""
        taken, self._taken = self._taken, 0
        return taken
