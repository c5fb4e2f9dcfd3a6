"""The parts of a source, in a fixed order: what there is to read, before anything is read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from trivium.data.licences import licence_of_readme
from trivium.data.readers import formats, hub, jsonl, parquet
from trivium.data.readers.parts import EMPTY, OTHER_KIND, Part, PassedOver, ReadOptions, printable
from trivium.data.readers.reading import unreadable
from trivium.errors import DataError, Unsupported

_README_BYTES = 65536


def list_parts(
    source: str | os.PathLike[str],
    options: ReadOptions,
    *,
    part_bytes: int = 16 << 20,
    origin: str | None = None,
) -> Iterator[Part | PassedOver]:
    """The parts of a file, a folder, an archive or a data set of the hub, in the order of their sorted paths.

    A folder is read with its subfolders, files before folders; hidden ones and links to folders are left out. A large
    .jsonl is cut where lines end, a large .parquet between row groups; every other file is one part. How a file is
    cut changes neither its documents nor their ids.

    Args:
        source: a path, or ``hub:owner/name`` with ``@revision`` after it where one is meant.
        options: how it will be read.
        part_bytes: size of the pieces that large files are cut into.
        origin: what the documents are to name as their source; None: ``source`` itself.

    Raises:
        DataError: at once, where the source is missing, or is a file that no reader reads.
    """
    source, origin = os.fspath(source), origin or os.fspath(source)
    if hub.is_hub(source) and not os.path.lexists(source):
        parts = _folder(hub.downloaded(source), origin, part_bytes)
        return (part for part in parts if part.name != hub.CARD)
    path = Path(source)
    if path.is_dir():
        return _folder(path, origin, part_bytes)
    if not os.path.lexists(path):
        raise DataError("there is no such file or folder", received=source, fix="check the path")
    _check_named(path)
    return _file(path, printable(path.name), origin, None, part_bytes, is_named=True)


def _check_named(path: Path) -> None:
    if not formats.is_read(path.name):
        raise DataError(
            OTHER_KIND,
            received=path,
            expected=f"a folder, or a file ending in {' '.join(formats.suffixes())}",
            fix="convert it to .txt, or to .jsonl with a field named text",
        )
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise unreadable(path.name, error).error(str(path)) from error
    if not is_file:
        raise DataError("this is no regular file", received=path, fix="to read from a pipe, give the source -")


def _folder(folder: Path, origin: str, part_bytes: int) -> Iterator[Part | PassedOver]:
    failed: list[OSError] = []
    licences: dict[str, str | None] = {}
    for place, subfolders, files in os.walk(folder, onerror=failed.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        here = Path(place)
        licences[place] = _licence_of(here, files) or licences.get(str(here.parent))
        for name in sorted(files):
            if not name.startswith("."):
                path = here / name
                relative = printable(path.relative_to(folder).as_posix())
                yield from _file(path, relative, origin, licences[place], part_bytes)
    for error in failed:
        name = os.path.relpath(os.fsdecode(error.filename or folder), folder)
        yield unreadable(printable(name), error)


def _file(
    path: Path, name: str, origin: str, licence: str | None, part_bytes: int, *, is_named: bool = False
) -> Iterator[Part | PassedOver]:
    """The parts of one file, or why it is not read."""
    if not formats.is_read(path.name):
        yield PassedOver(name=name, reason=OTHER_KIND, detail=path.suffix or "without suffix")
        return
    try:
        status = path.stat()
    except OSError as error:  # a link that leads nowhere
        yield unreadable(name, error)
        return
    size = status.st_size
    if not stat.S_ISREG(status.st_mode):
        yield PassedOver(name=name, reason="this is no regular file")
    elif size == 0:
        yield PassedOver(name=name, reason=EMPTY, fix="remove it from the sources")
    else:
        pieces = _pieces(path, name, size, part_bytes)
        if isinstance(pieces, PassedOver):
            yield pieces
            return
        for start, end, first, piece_bytes in pieces:
            yield Part(
                path=str(path),
                name=name,
                source=origin,
                num_bytes=piece_bytes,
                start=start,
                end=end,
                first_line=first,
                licence=licence,
                is_named=is_named,
            )


def _pieces(path: Path, name: str, size: int, part_bytes: int) -> list[tuple[int, int | None, int, int]] | PassedOver:
    """(start, end, first line, bytes) of each."""
    kind = formats.suffix(path.name)
    try:
        if size > part_bytes and kind in jsonl.SUFFIXES:
            return [(start, end, first, end - start) for start, end, first in jsonl.cut(path, part_bytes)]
        if size > part_bytes and kind in parquet.SUFFIXES:
            return list(parquet.cut(path, part_bytes)) or [(0, None, 1, size)]
    except OSError as error:
        return unreadable(name, error, size)
    except (DataError, Unsupported) as error:
        return PassedOver.because(error, name=name, num_bytes=size)
    return [(0, None, 1, size)]


def _licence_of(folder: Path, files: list[str]) -> str | None:
    """What the README.md of a folder states."""
    if "README.md" not in files:
        return None
    path = folder / "README.md"
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return licence_of_readme(file.read(_README_BYTES).decode("utf-8", "replace"))
    except OSError:
        return None  # the listing says of the file itself that it cannot be read
