"""Parquet, a few rows at a time; of the columns only those that a document needs."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trivium.data.documents import Document
from trivium.data.readers.bounded import Budget, read_whole
from trivium.data.readers.parts import EMPTY, Limits, Part, PassedOver, ReadOptions, missing
from trivium.data.readers.records import document_of
from trivium.errors import DataError

SUFFIXES = (".parquet",)
# A page of a dictionary holds a long text once, however many rows repeat it: a batch holds it once for each row.
_ROWS_AT_ONCE = 16
_BUFFER_BYTES = 1 << 20
_HARMLESS_BYTES = 64 << 20


def cut(path: Path, part_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """(first row group, row group after the last, number of the first row, bytes) of pieces of about ``part_bytes``.

    Raises:
        DataError: the file is damaged, or pyarrow is missing.
    """
    with path.open("rb") as file:
        metadata = _opened(file).metadata
        start, size, rows, row = 0, 0, 0, 1
        for group in range(metadata.num_row_groups):
            size += max(0, metadata.row_group(group).total_byte_size)
            rows += metadata.row_group(group).num_rows
            if size >= part_bytes or group == metadata.num_row_groups - 1:
                yield start, group + 1, row, size
                start, size, row, rows = group + 1, 0, row + rows, 0


def read(stream: io.BufferedIOBase, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """The rows of a part, one at a time; a row that cannot be used is passed over.

    Raises:
        DataError: the file is damaged or a bomb, or none of its columns is the text.
    """
    if not stream.seekable():  # a member of an archive
        stream = io.BytesIO(read_whole(stream, options.limits.max_parsed_bytes))
    file = _opened(stream)
    if not file.metadata.num_rows:
        raise DataError(EMPTY, received="no rows", fix="remove it from the sources")
    columns = _columns(file, options)
    groups = range(part.start, file.metadata.num_row_groups if part.end is None else part.end)
    file_bytes = stream.seek(0, io.SEEK_END)
    _refuse_bomb(file.metadata, groups, file_bytes, options.limits)
    # A dictionary also lets a small file stand for any amount of text.
    budget = Budget(options.limits, file_bytes)
    for number, record in enumerate(_records(file, groups, columns), start=part.first_line):
        text = None if record is None else record.get(options.text_field)
        size = len(text) if isinstance(text, str) else 0
        budget.spend(size)
        name = f"{part.name}:{number}"
        if record is None:
            yield PassedOver(name=name, reason="the row is not encoded in utf-8")
        elif size > options.limits.max_record_bytes:
            yield PassedOver(name=name, reason="the row is too long", num_bytes=size)
        else:
            yield document_of(record, number, part, options, size)


def _records(file: Any, groups: range, columns: list[str]) -> Iterator[dict[str, Any] | None]:
    """Row after row; None for one that is no valid UTF-8, which Parquet demands and does not check."""
    for batch in _batches(file, groups, columns):
        for index in range(batch.num_rows):
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


def _batches(file: Any, groups: range, columns: list[str]) -> Iterator[Any]:
    import pyarrow

    batches = file.iter_batches(_ROWS_AT_ONCE, row_groups=list(groups), columns=columns, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
        except pyarrow.ArrowMemoryError:
            raise
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(error) from error
        if batch is None:
            return
        yield batch


def _opened(stream: io.BufferedIOBase) -> Any:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise missing("pyarrow", "a Parquet file") from error
    try:
        # Pages are read as they are needed: a column of a row group may be larger than the memory.
        return parquet.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _damaged(error) from error


def _columns(file: Any, options: ReadOptions) -> list[str]:
    """The names of the columns to read."""
    found = file.schema_arrow.names
    if options.text_field not in found:
        raise DataError(
            f"the table has no column `{options.text_field}`",
            received=f"columns: {', '.join(name[:40] for name in found[:10])}",
            fix="set text_field to the column that holds the text",
        )
    wanted = (
        options.text_field,
        options.id_field,
        options.group_field,
        options.licence_field,
        "license",
        options.label_field,
        options.language_field,
    )
    return [name for name in dict.fromkeys(wanted) if name in found]


def _refuse_bomb(metadata: Any, groups: range, file_bytes: int, limits: Limits) -> None:
    """By what row groups say of themselves. Their columns are not asked: on damaged ones pyarrow ends the process."""
    for group in groups:
        size = metadata.row_group(group).total_byte_size
        if size > max(_HARMLESS_BYTES, limits.max_ratio * file_bytes):
            raise DataError(
                "it expands beyond the limit",
                received=f"{size:,} bytes from {file_bytes:,}",
                expected=f"at most {limits.max_ratio} times its size",
                fix="if the file is honest, raise max_ratio",
            )


def _damaged(error: Exception) -> DataError:
    return DataError(
        "the Parquet file is damaged", received=str(error).strip()[:200], fix="copy it again from where it was made"
    )
