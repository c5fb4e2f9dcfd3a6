"""Records with several texts in them: lines of JSON, a JSON list, and tables, each with all of its fields.

for row in read_rows(Path("train.tsv")):
    row.text("sentence1"), row.text("sentence2"), row.number("score")

`trivium.data.readers` takes one text out of each record of a corpus; here a record is an example, such as a premise
with its hypothesis or a text with its summary, and one that cannot be used is an error.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivium.data.documents import read_text
from trivium.errors import DataError

_LINES, _LIST, _TABLES = (".jsonl", ".ndjson"), ".json", {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
_NAMED, _SHOWN = 12, 60
FORMS = "a .jsonl, .json, .csv or .tsv file, compressed or not"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record."""

    fields: Mapping[str, Any]
    """Every field or column, by name."""
    where: str
    """The file, and the line, item or row in it, for messages."""

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
        DataError: another kind of file, a record that is none, a row with another number of fields.
    """
    suffix = _suffix(path)
    if suffix not in (*_LINES, _LIST, *_TABLES):
        raise DataError("this kind of file holds no records", received=path, expected=FORMS)
    if columns and suffix not in _TABLES:
        raise DataError(
            "columns are for a table",
            received=f"{path}: {', '.join(columns)}",
            fix="leave columns out: fields have names",
        )
    text = read_text(path, encoding)
    if suffix in _TABLES:
        yield from _of_table(path, text, _TABLES[suffix], columns)
        return
    items = _of_list(path, text) if suffix == _LIST else _of_lines(path, text)
    for where, item in items:
        if not isinstance(item, dict):
            raise DataError("a record is no JSON object", received=where, expected='{"name": ...}')
        yield Row(fields=item, where=where)


def is_of_rows(path: Path) -> bool:
    """Whether `read_rows` reads such a file, by its name."""
    return _suffix(path) in (*_LINES, _LIST, *_TABLES)


def _of_lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    # Not splitlines: a text may hold U+2028, which JSON allows unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", _parsed(line, f"{path}:{number}")


def _of_list(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    items = _parsed(text, str(path))
    if not isinstance(items, list):
        raise DataError("the file is no list of records", received=path, expected="[{...}, {...}]")
    for number, item in enumerate(items, start=1):
        yield f"{path}, item {number}", item


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError("this is not JSON", received=f"{where}: {error}"[:200], fix="correct or remove it") from error


def _of_table(path: Path, text: str, delimiter: str, columns: Sequence[str]) -> Iterator[Row]:
    # In .tsv a quote is a character: the sets of GLUE hold unpaired ones.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    # What was read into memory whole is a field at most. The limit is one for the whole process: it is only raised.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, quoting=quoting)
    names = list(columns)
    try:
        for row in rows:
            if not row:
                continue
            if not names:
                names = row
                continue
            where = f"{path}:{rows.line_num}"
            if len(row) != len(names):
                raise DataError(
                    "the row has another number of fields",
                    received=f"{where}: {len(row)} for the columns {', '.join(names[:_NAMED])}",
                    fix="correct the row, or name as many columns",
                )
            yield Row(fields=dict(zip(names, row, strict=True)), where=where)
    except csv.Error as error:
        raise DataError("a row cannot be read", received=f"{path}:{rows.line_num}: {error}") from error


def _suffix(path: Path) -> str:
    """.tsv of train.tsv and of train.tsv.gz."""
    name = Path(path.stem) if path.suffix in _COMPRESSED else path
    return name.suffix.lower()
