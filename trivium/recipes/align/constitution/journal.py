"""Long work on many items, item by item into a file of lines: killed at any instant, it goes on to the same file.

rows = carried_out(path, items, work, together=16, title="revising")

`work` is given some items that follow each other, always the same ones, so that a model computes the same batches
whether it was killed or not. Their lines are appended in one write and forced to disk; what a kill leaves of a group is
cut off before the group is done again. A line holds the number of its item.
"""

import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from trivium.errors import DataError, Interrupted
from trivium.runtime import atomic
from trivium.runtime.progress import bar
from trivium.runtime.signals import stop_on_signal

Item = TypeVar("Item")
Row = dict[str, Any]
"""One line: JSON, with the number of its item."""


def carried_out(
    path: pathlib.Path,
    items: Sequence[Item],
    work: Callable[[int, Sequence[Item]], list[Row]],
    *,
    together: int,
    title: str,
) -> list[Row]:
    """The lines of all items, those that are not there yet made by `work(number of the first, items)`.

    Raises `Interrupted` after SIGINT or SIGTERM, once the present group is written; `DataError` for a file of lines
    that are not those of these items.
    """
    rows = _kept(path, len(items), together)
    if len(rows) == len(items):
        return rows
    with stop_on_signal() as stop, bar(title, len(items), unit="prompts") as progress:
        progress.start_from(len(rows))
        while len(rows) < len(items):
            some = items[len(rows) : len(rows) + together]
            made = work(len(rows), some)
            assert len(made) == len(some), "a line for each item"
            numbered = [{"number": number, **row} for number, row in enumerate(made, start=len(rows))]
            append(path, "".join(map(_line, numbered)).encode(errors="backslashreplace"))
            # As they are read again, so that what follows sees the same whether it was killed in between or not.
            rows += [json.loads(_line(row)) for row in numbered]
            progress.advance(len(some))
            if stop.signal_number is not None and len(rows) < len(items):
                raise Interrupted(
                    f"stopped: {len(rows)} of {len(items)} are done; the same command with --resume goes on",
                    signal_number=stop.signal_number,
                )
    return rows


def append(path: pathlib.Path, data: bytes) -> None:
    """Adds to the end of a file and waits until it is on the disk. By itself so that tests can kill it half-way."""
    with path.open("ab", buffering=0) as file:
        written = 0
        while written < len(data):
            written += file.write(data[written:])
        atomic.sync(file.fileno())


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _kept(path: pathlib.Path, total: int, together: int) -> list[Row]:
    """The lines of whole groups; whatever follows them is cut off."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last end of a line was torn
    whole = total if len(lines) >= total else len(lines) // together * together
    rows = [_read(path, number, line) for number, line in enumerate(lines[:total])][:whole]
    if len(lines) > total:
        raise _foreign(path, f"{len(lines)} lines for {total} items")
    size = sum(len(line) + 1 for line in lines[:whole])
    if path.stat().st_size != size:
        os.truncate(path, size)
    return rows


def _read(path: pathlib.Path, number: int, line: bytes) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _foreign(path, f"line {number + 1} is not JSON") from error
    if not isinstance(row, dict) or row.get("number") != number:
        raise _foreign(path, f"line {number + 1} is not item {number}")
    return row


def _foreign(path: pathlib.Path, found: str) -> DataError:
    return DataError(
        "the run cannot go on with this file, which something else has changed",
        received=f"{path}: {found}",
        fix=f"delete {path.name} and what was made from it, or start a new run",
    )
