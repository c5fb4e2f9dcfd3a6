"""Records with several texts in them: lines of JSON, a JSON list, tables and Parquet, each with all of its fields.

for row in read_rows(Path("train.tsv")):
    row.text("sentence1"), row.text("sentence2"), row.number("score")

`trivium.data.readers` takes one text out of each record of a corpus; here a record is an example, such as a premise
with its hypothesis or a text with its summary, and one that cannot be used is an error.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivium.data.readers import Limits, compressed, formats
from trivium.data.readers.bounded import read_whole
from trivium.data.readers.text import decode
from trivium.errors import DataError, Unsupported

_LINES, _LIST, _TABLES, _COLUMNS = (".jsonl", ".ndjson"), ".json", {".csv": ",", ".tsv": "\t", ".tab": "\t"}, ".parquet"
SUFFIXES = (*_TABLES, *_LINES, _LIST, _COLUMNS)
FORMS = "a .jsonl, .json, .csv, .tsv or .parquet file, compressed or not"
_NAMED, _SHOWN = 12, 60

Names = Callable[[list[str]], list[str] | None]
"""From the first row of a table: the names of its columns where that row is an example already, None where it names
them itself."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record."""

    fields: Mapping[str, Any]
    """Every field or column, by name."""
    where: str
    """The file, and the line, item or row in it, for messages."""
    line: int = 0
    """Which line, item or row it is, counted from 1."""

    @property
    def place(self) -> str:
        """`where`, spelt out: "train.jsonl, line 3"."""
        name, colon, number = self.where.rpartition(":")
        return f"{name}, line {number}" if colon and number == str(self.line) else self.where

    def text(self, field: str, *, setting: str | None = None) -> str:
        """The text of a field; of a list of texts, such as the sentences of a passage, all of them with a space
        between each two. Raises `DataError` where it holds no text, or where there is none, with the `setting` that
        would name another."""
        value = self._value(field, setting)
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            value = " ".join(value)
        if not isinstance(value, str) or not value.strip():
            raise DataError(
                f"the field `{field}` holds no text", received=f"{self.where}: {str(value)[:_SHOWN]!r}", fix="remove it"
            )
        return value

    def word(self, field: str, *, setting: str | None = None) -> str:
        """A short text or a number, as text. Raises `DataError` for anything else, as `text` does."""
        value = self._value(field, setting)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
            raise DataError(
                f"the field `{field}` holds neither a word nor a number",
                received=f"{self.where}: {str(value)[:_SHOWN]!r}",
                fix="correct the record, or remove it",
            )
        return str(value).strip()

    def number(self, field: str) -> float:
        """A finite number. Raises `DataError` for anything else."""
        return number_of(self.word(field), self.where)

    def _value(self, field: str, setting: str | None) -> Any:
        if field not in self.fields:
            raise DataError(
                f"there is no field `{field}`",
                received=f"{self.where}: {', '.join(map(str, list(self.fields)[:_NAMED]))}",
                fix="name the field that holds it" if setting is None else f"set {setting} to the field that holds it",
            )
        return self.fields[field]


def number_of(word: str, where: str) -> float:
    """The finite number that ``word`` spells. Raises `DataError` that tells ``where`` it stands."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError("this is no number", received=f"{where}: {word[:_SHOWN]!r}", expected="a finite number")
    return value


def read_rows(path: Path, *, columns: Sequence[str] = (), encoding: str = "utf-8") -> Iterator[Row]:
    """The records of one file, in their order; empty lines are left out.

    Args:
        path: see above for its forms.
        columns: names of the columns of a table whose first row is an example already (CoLA); () where the first row
            names them.
        encoding: of the file, where it does not say so itself.

    Raises:
        DataError: no such file, another kind of file, a record that is none, a row with another number of fields.
    """
    if not is_of_rows(path):
        raise DataError("this kind of file holds no records", received=path, expected=FORMS)
    if columns and kind_of(path.name) not in _TABLES:
        raise DataError(
            "columns are for a table",
            received=f"{path}: {', '.join(columns)}",
            fix="leave columns out: fields have names",
        )
    limits = Limits()
    try:
        with path.open("rb") as file:
            packed = formats.suffix(path.name)
            stream = compressed.expanded(file, Path(packed).suffix, limits) if formats.uncompressed(packed) else file
            content = read_whole(stream, limits.max_expanded_bytes)
    except OSError as error:
        raise DataError(
            "the file cannot be read",
            received=f"{path}: {error.strerror or error}",
            fix="check the path" if isinstance(error, FileNotFoundError) else "check its permissions",
        ) from error
    yield from rows_of(content, str(path), names=lambda first: list(columns) or None, encoding=encoding)


def rows_of(content: bytes, name: str, *, names: Names = lambda first: None, encoding: str = "utf-8") -> Iterator[Row]:
    """The records of the expanded ``content`` of a file called ``name``. Raises as `read_rows` does."""
    kind = kind_of(name)
    if kind == _COLUMNS:
        items = _of_columns(content, name)
    else:
        try:
            text = decode(content, encoding)
        except DataError as error:
            raise DataError(
                error.what, received=f"{name}: {error.received or ''}".rstrip(": "), fix=error.fix
            ) from error
        if kind in _TABLES:
            yield from _of_table(name, text, _TABLES[kind], names)
            return
        items = _of_list(name, text) if kind == _LIST else _of_lines(name, text)
    for number, where, item in items:
        if not isinstance(item, dict):
            raise DataError("a record is no JSON object", received=where, expected='{"name": ...}')
        yield Row(fields=item, where=where, line=number)


def kind_of(name: str) -> str:
    """.tsv of train.tsv and of train.tsv.gz."""
    suffix = formats.suffix(name)
    return formats.uncompressed(suffix) or suffix


def is_of_rows(path: Path) -> bool:
    """Whether `read_rows` reads such a file, by its name."""
    return kind_of(path.name) in SUFFIXES


def _of_lines(name: str, text: str) -> Iterator[tuple[int, str, Any]]:
    # Not splitlines: a text may hold U+2028, which JSON allows unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, f"{name}:{number}", _parsed(line, f"{name}:{number}")


def _of_list(name: str, text: str) -> Iterator[tuple[int, str, Any]]:
    items = _parsed(text, name)
    if not isinstance(items, list):
        raise DataError("the file is no list of records", received=name, expected="[{...}, {...}]")
    for number, item in enumerate(items, start=1):
        yield number, f"{name}, item {number}", item


def _of_columns(content: bytes, name: str) -> Iterator[tuple[int, str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Unsupported("a .parquet file needs pyarrow", fix='pip install "trivium-lm[data]"') from error
    try:
        items = pyarrow.parquet.read_table(io.BytesIO(content), use_threads=False).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(
            "the .parquet file is damaged", received=f"{name}: {error}"[:200], fix="copy it again"
        ) from error
    for number, item in enumerate(items, start=1):
        yield number, f"{name}, row {number}", item


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _Repeated as error:
        raise DataError(
            "a name stands twice in one record", received=f"{where}: {error}"[:200], fix="remove one of them"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError("this is not JSON", received=f"{where}: {error}"[:200], fix="correct or remove it") from error


class _Repeated(Exception):
    """A name that a JSON object has twice. Python would keep the last, which is seldom what was meant."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Repeated(repr(next(name for name in names if names.count(name) > 1)))
    return found


def _of_table(name: str, text: str, delimiter: str, names: Names) -> Iterator[Row]:
    # In .tsv a quote is a character: the sets of GLUE hold unpaired ones.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    # What was read into memory whole is a field at most. The limit is one for the whole process: it is only raised.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    header: list[str] = []
    try:
        for row in rows:
            if not row:
                continue
            if not header:
                given = names(row)
                header = given or row
                _check_header(header, name)
                if given is None:
                    continue
            where = f"{name}:{rows.line_num}"
            if len(row) != len(header):
                raise DataError(
                    "the row has another number of fields",
                    received=f"{where}: {len(row)} for the columns {', '.join(header[:_NAMED])}",
                    fix="correct the row, or name as many columns",
                )
            yield Row(fields=dict(zip(header, row, strict=True)), where=where, line=rows.line_num)
    except csv.Error as error:
        raise DataError("a row cannot be read", received=f"{name}:{rows.line_num}: {error}") from error


def _check_header(header: Sequence[str], name: str) -> None:
    repeated = next((column for column in header if header.count(column) > 1), None)
    if repeated is not None:
        raise DataError(
            "two columns of the table have the same name",
            received=f"{name}: {repeated!r} among {', '.join(header[:_NAMED])}",
            fix="rename one of them",
        )
