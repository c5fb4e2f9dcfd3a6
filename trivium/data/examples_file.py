"""Files of examples to tune on: what is in them is recognised line by line, checked, and told.

records = read_records(Path("examples.jsonl"))                  # or .json .csv .tsv .parquet, compressed or not
records = read_records(Path("faq.csv"), columns={"prompt": "question", "completion": "answer"})
records = read_records(Path("examples/"))                       # all such files of a folder
told(records)                                                   # "1,000 examples: 990 ShareGPT, 10 text"

The forms are those of `trivium.data.example_forms`; a file may mix them where each line is clear.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trivium.config import did_you_mean
from trivium.data.conversations import OutOfOrder, Unusable, refusal
from trivium.data.example_forms import FIELDS, FORMS, NAMES, Record, record_of
from trivium.data.rows import FORMS as FILES
from trivium.data.rows import Row, is_of_rows, read_rows
from trivium.errors import ConfigError, DataError

__all__ = ["Record", "files_of", "read_records", "record_at", "told"]


def read_records(path: Path, *, columns: Mapping[str, str] | None = None) -> list[Record]:
    """The examples of a file, or of all files of a folder in the order of their names.

    Args:
        path: a .jsonl, .json, .csv, .tsv or .parquet file, compressed or not, or a folder with such files in it.
        columns: which of the file's fields or columns are which of ours, as {"prompt": "question", "completion":
            "answer"}; others are then not looked at. None where they have our names.

    Raises:
        ConfigError: ``columns`` name what no form has.
        DataError: no such file, none in the folder, or a line that cannot be used, with the file, the line and what it
            is.
    """
    check_columns(columns, FIELDS)
    records = [record_at(row, columns) for file in files_of(path) for row in read_rows(file)]
    if not records:
        raise DataError("there are no examples", received=path, expected=f"lines of {FORMS}", fix="check the file")
    return records


def told(records: Sequence[Record]) -> str:
    """What was recognised, for people: how many examples, of which forms and tasks."""
    forms = Counter(record.written_as for record in records)
    tasks = Counter(record.task for record in records if record.task is not None)
    said = f"{len(records):,} examples: {_counted(forms)}"
    return f"{said}; tasks: {_counted(tasks)}" if tasks else said


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def files_of(path: Path, *, also: Sequence[str] = ()) -> Iterator[Path]:
    """The file itself, or the files of rows in a folder, and those with a suffix of ``also``, in the order of their
    names. Raises `DataError` for none."""
    if not path.is_dir():
        if not os.path.lexists(path):
            raise DataError("there is no such file or folder", received=path, fix="check the path")
        yield path
        return
    files = (file for file in path.rglob("*") if file.is_file() and (is_of_rows(file) or file.suffix in also))
    inside = (file.relative_to(path) for file in files)
    names = sorted(name for name in inside if not any(part.startswith(".") for part in name.parts))
    if not names:
        raise DataError("there are no examples in the folder", received=path, expected=", or ".join([FILES, *also]))
    yield from (path / name for name in names)


def record_at(row: Row, columns: Mapping[str, str] | None = None) -> Record:
    """The example that a row is. Raises `DataError` where it is none, or could be two."""
    try:
        fields = row.fields if columns is None else renamed(row, columns)
        return replace(record_of(fields), line=row.line, where=row.place)
    except Unusable as error:
        fix = "correct or remove the line" if isinstance(error, OutOfOrder) else _advice(row.fields, columns)
        raise refusal(error, row.place, what="a line of the examples", expected=FORMS, fix=fix) from error


def renamed(row: Row, columns: Mapping[str, str]) -> dict[str, Any]:
    """The fields under our names, others left out. Raises `DataError` where the file has none of that name."""
    missing = [theirs for theirs in columns.values() if theirs not in row.fields]
    if missing:
        raise DataError(
            f"there is no column `{missing[0]}`",
            received=f"{row.place}: {', '.join(map(str, row.fields))}"[:200],
            fix=did_you_mean(missing[0], map(str, row.fields)) or "set columns to those that the file has",
        )
    return {ours: row.fields[theirs] for ours, theirs in columns.items()}


def _advice(fields: Mapping[str, Any], columns: Mapping[str, str] | None) -> str:
    if columns is None and not set(NAMES) & set(fields):
        return "name its columns with columns, as prompt=question,completion=answer; or correct the line"
    return "correct or remove the line, or say with columns which fields are meant"


def check_columns(columns: Mapping[str, str] | None, fields: Sequence[str]) -> None:
    """Raises `ConfigError` where columns are named for what is not one of our ``fields``."""
    for name in columns or ():
        if name not in fields:
            raise ConfigError(
                "a column is named for what no example has",
                received=f"columns {name}={(columns or {})[name]}",
                expected=", ".join(fields),
                fix=did_you_mean(name, fields),
            )
