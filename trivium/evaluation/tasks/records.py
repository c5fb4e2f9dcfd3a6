"""The records of a task's file, under the names that the task uses: tables, JSON, Parquet, also compressed.

A table of .tsv has no quotes: in GLUE's files a quotation mark is a character of the text.
"""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from trivium.data.readers import Limits, compressed, formats
from trivium.data.readers.bounded import Budget, bounded, read_whole
from trivium.errors import DataError, StorageError, Unsupported
from trivium.evaluation.tasks.task import Record, Task

_TABLES = (".tsv", ".tab", ".csv")
_SUFFIXES = (*_TABLES, ".jsonl", ".ndjson", ".json", ".parquet")
_LIMITS = Limits()


def read_task(path: Path, task: Task) -> list[Record]:
    """The records of ``path``, in order. A task of several groups is also read from a folder or a .zip of files.

    Raises ``DataError`` where the file is missing, of another kind, damaged, or has not the columns of the task.
    """
    records: list[Record] = []
    for name, rows in _files(path, task):
        for number, row in enumerate(rows, start=1):
            records.append(_named(row, task, f"{name}, record {number}"))
    if not records:
        raise DataError("there are no examples in this file", received=path, expected=expected(task))
    return records


def expected(task: Task) -> str:
    """What a file for ``task`` is, for messages."""
    names = [" or ".join(names) for names in task.columns.values()]
    places = "a file, a folder or a .zip of files" if task.group else "a file"
    return f"{places} ({' '.join(_SUFFIXES)}, also .gz) with the columns {', '.join(names)}"


def _named(row: Mapping[str, Any], task: Task, where: str) -> Record:
    record = {}
    for column, names in task.columns.items():
        found = next((row[name] for name in names if row.get(name) is not None), None)
        if not isinstance(found, str | int | float):
            raise DataError(
                f"an example has no column `{names[0]}` that {task.name} could use",
                received=f"{where}, with the columns {', '.join(str(key)[:40] for key in list(row)[:12]) or 'none'}",
                expected=expected(task),
            )
        record[column] = found
    return record


# Files ---------------------------------------------------------------------------------------------------------------


def _files(path: Path, task: Task) -> Iterator[tuple[str, Iterator[Mapping[str, Any]]]]:
    """The name of each file that ``path`` stands for, and its rows."""
    if not path.exists():
        raise DataError("there is no such file", received=path, expected=expected(task), fix="check the path")
    if path.is_dir() or path.suffix.lower() == ".zip":
        if task.group is None:
            raise DataError(
                f"{task.name} is measured on one file",
                received=path,
                expected=expected(task),
                fix="give the part that is meant to be measured on, such as dev.tsv",
            )
        yield from _folder(path, task) if path.is_dir() else _zipped(path, task)
        return
    yield path.name, _opened(path, task)


def _folder(path: Path, task: Task) -> Iterator[tuple[str, Iterator[Mapping[str, Any]]]]:
    for file in sorted(path.iterdir()):
        if file.is_file() and _kind(file.name) in _SUFFIXES:
            yield file.name, _opened(file, task)


def _opened(path: Path, task: Task) -> Iterator[Mapping[str, Any]]:
    kind = formats.suffix(path.name)
    try:
        with path.open("rb") as stream:
            if formats.uncompressed(kind):
                yield from _rows(compressed.expanded(stream, Path(kind).suffix, _LIMITS), path.name, task)
            else:
                yield from _rows(stream, path.name, task)
    except OSError as error:
        raise StorageError("the file cannot be read", received=f"{path}: {error.strerror}") from error


def _zipped(path: Path, task: Task) -> Iterator[tuple[str, Iterator[Mapping[str, Any]]]]:
    budget = Budget(_LIMITS, path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if _kind(name) in _SUFFIXES:
                    with archive.open(name) as member:
                        yield name, _rows(bounded(member.read, budget), name, task)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # damaged; a method or a password
        raise DataError("the archive cannot be read", received=f"{path}: {error}", fix="copy it again") from error


def _kind(name: str) -> str:
    kind = formats.suffix(name)
    return formats.uncompressed(kind) or kind


# Rows ----------------------------------------------------------------------------------------------------------------


def _rows(stream: BufferedReader, name: str, task: Task) -> Iterator[Mapping[str, Any]]:
    """The rows of a stream that stands at the beginning of the file ``name``."""
    kind = _kind(name)
    if kind not in _SUFFIXES:
        raise DataError("this kind of file is not read", received=name, expected=expected(task))
    try:
        if kind in _TABLES:
            yield from _table(stream, name, task, commas=kind == ".csv")
        elif kind == ".parquet":
            yield from _parquet(stream)
        elif kind == ".json":
            values = _json(read_whole(stream, _LIMITS.max_file_bytes), name)
            yield from _objects(values if isinstance(values, list) else [values], name)
        else:
            lines = (line for line in _lines(stream, name) if line.strip())
            yield from _objects((_json(line, name) for line in lines), name)
    except UnicodeDecodeError as error:
        raise DataError("the file is not encoded in utf-8", received=f"{name}: {error.reason}") from error


def _table(stream: BufferedReader, name: str, task: Task, *, commas: bool) -> Iterator[Mapping[str, Any]]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    quoting = csv.QUOTE_MINIMAL if commas else csv.QUOTE_NONE
    rows = csv.reader(text, delimiter="," if commas else "\t", quoting=quoting)
    header: list[str] = []
    try:
        for number, row in enumerate(rows, start=1):
            if not header:
                header, is_data = _header(row, task)
                if not is_data:
                    continue
            if row and len(row) != len(header):
                raise DataError(
                    "a row of the table has another number of columns than the first",
                    received=f"{name}, row {number}: {len(row)} columns",
                    expected=f"{len(header)} columns: {', '.join(header)}"[:200],
                )
            if row:
                yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise DataError("the table cannot be read", received=f"{name}: {error}") from error
    finally:
        text.detach()


def _header(row: list[str], task: Task) -> tuple[list[str], bool]:
    """The columns of a table that begins with ``row``, and whether that is a row of data already."""
    known = {name for names in task.columns.values() for name in names}
    if task.header and len(row) == len(task.header) and not known & set(row):
        return list(task.header), True
    return row, False


def _lines(stream: BufferedReader, name: str) -> Iterator[bytes]:
    while line := stream.readline(_LIMITS.max_record_bytes + 1):
        if len(line) > _LIMITS.max_record_bytes:
            raise DataError("a line is too long", received=name, expected=f"at most {_LIMITS.max_record_bytes:,} bytes")
        yield line


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError("the file is not JSON", received=f"{name}: {error}"[:200], fix="copy it again") from error


def _objects(values: Iterable[Any], name: str) -> Iterator[Mapping[str, Any]]:
    for value in values:
        if not isinstance(value, dict):
            raise DataError("an example is no JSON object", received=f"{name}: {str(value)[:80]}")
        yield value


def _parquet(stream: BufferedReader) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Unsupported("a .parquet file needs pyarrow", fix='pip install "trivium-lm[data]"') from error
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(read_whole(stream, _LIMITS.max_file_bytes)), use_threads=False)
        yield from table.to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError("the .parquet file is damaged", received=str(error)[:200], fix="copy it again") from error
