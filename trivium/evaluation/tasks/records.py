"""The records of a task's file, under the names that the task uses: tables, JSON, Parquet, also compressed.

A table of .tsv has no quotes: in GLUE's files a quotation mark is a character of the text.
"""

import zipfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from trivium.data.readers import Limits, compressed, formats
from trivium.data.readers.bounded import Budget, bounded, read_whole
from trivium.data.rows import SUFFIXES, Row, kind_of, rows_of
from trivium.errors import DataError, StorageError
from trivium.evaluation.tasks.task import Record, Task

_LIMITS = Limits()


def read_task(path: Path, task: Task) -> list[Record]:
    """The records of ``path``, in order. A task of several groups is also read from a folder or a .zip of files.

    Raises ``DataError`` where the file is missing, of another kind, damaged, or has not the columns of the task.
    """
    records: list[Record] = []
    for rows in _files(path, task):
        records.extend(_named(row, task) for row in rows)
    if not records:
        raise DataError("there are no examples in this file", received=path, expected=expected(task))
    return records


def expected(task: Task) -> str:
    """What a file for ``task`` is, for messages."""
    names = [" or ".join(names) for names in task.columns.values()]
    places = "a file, a folder or a .zip of files" if task.group else "a file"
    return f"{places} ({' '.join(SUFFIXES)}, also .gz) with the columns {', '.join(names)}"


def _named(row: Row, task: Task) -> Record:
    record, fields = {}, row.fields
    for column, names in task.columns.items():
        found = next((fields[name] for name in names if fields.get(name) is not None), None)
        if not isinstance(found, str | int | float):
            present = ", ".join(str(key)[:40] for key in list(fields)[:12]) or "none"
            raise DataError(
                f"an example has no column `{names[0]}` that {task.name} could use",
                received=f"{row.where}, with the columns {present}",
                expected=expected(task),
            )
        record[column] = found
    return record


# Files ---------------------------------------------------------------------------------------------------------------


def _files(path: Path, task: Task) -> Iterator[Iterator[Row]]:
    """The rows of each file that ``path`` stands for."""
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
    yield _opened(path, task)


def _folder(path: Path, task: Task) -> Iterator[Iterator[Row]]:
    for file in sorted(path.iterdir()):
        if file.is_file() and kind_of(file.name) in SUFFIXES:
            yield _opened(file, task)


def _opened(path: Path, task: Task) -> Iterator[Row]:
    kind = formats.suffix(path.name)
    try:
        with path.open("rb") as stream:
            if formats.uncompressed(kind):
                yield from _rows(compressed.expanded(stream, Path(kind).suffix, _LIMITS), path.name, task)
            else:
                yield from _rows(stream, path.name, task)
    except OSError as error:
        raise StorageError("the file cannot be read", received=f"{path}: {error.strerror}") from error


def _zipped(path: Path, task: Task) -> Iterator[Iterator[Row]]:
    budget = Budget(_LIMITS, path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if kind_of(name) in SUFFIXES:
                    with archive.open(name) as member:
                        yield _rows(bounded(member.read, budget), name, task)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # damaged; a method or a password
        raise DataError("the archive cannot be read", received=f"{path}: {error}", fix="copy it again") from error


def _rows(stream: BufferedReader, name: str, task: Task) -> Iterator[Row]:
    """The rows of a stream that stands at the beginning of the file ``name``."""
    if kind_of(name) not in SUFFIXES:
        raise DataError("this kind of file is not read", received=name, expected=expected(task))
    known = {name for names in task.columns.values() for name in names}

    def names(first: list[str]) -> list[str] | None:
        unnamed = task.header and len(first) == len(task.header) and not known & set(first)
        return list(task.header) if unnamed else None

    yield from rows_of(read_whole(stream, _LIMITS.max_expanded_bytes), name, names=names)
