"""The parts of a source, in a fixed order: what there is to read, before anything is read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from trivium.data.licences import licence_of_readme
from trivium.data.readers import formats, hub, jsonl, parquet
from trivium.data.readers.parts import (
    EMPTY,
    HIDDEN_FOLDER,
    LEADS_OUT,
    OTHER_KIND,
    READ_WHERE_IT_LIES,
    Part,
    PassedOver,
    ReadOptions,
    printable,
)
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

    A folder is read with its subfolders, files before folders; hidden ones are left out. A large .jsonl is cut where
    lines end, a large .parquet between row groups; every other file is one part. How a file is cut changes neither its
    documents nor their ids.

    ``source`` itself may be a symbolic link. Of those inside a folder, the ones that lead out of it are passed over, or
    a folder of strangers could bring any file of this machine into a corpus; so are those to what is read where it
    lies. A link to a file of the folder that is not read there, because it is hidden or of another name, is read.

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
        snapshot = hub.downloaded(source)
        parts = _folder(snapshot, origin, part_bytes, bounds=hub.bounds(snapshot))
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


class _Links:
    """What is read through the symbolic links of a folder: every file once, and nothing outside of it."""

    def __init__(self, folder: Path, bounds: Path):
        self._folder = Path(os.path.realpath(folder))
        self._bounds = Path(os.path.realpath(bounds))
        self._taken: set[Path] = set()

    def leads_out(self, path: Path) -> bool:
        """Whether ``path`` is a link to what lies outside."""
        return path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(self._bounds)

    def why_not(self, path: Path) -> str | None:
        """Why what is at ``path`` is not read through it; None for a file to read, and for what is no link."""
        # A link that leads nowhere, or in a circle, cannot be read, whoever follows it.
        if not path.is_symlink() or not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where it may not look
            return None
        if self.leads_out(path):
            return LEADS_OUT
        target = Path(os.path.realpath(path))
        inside = target.relative_to(self._folder).parts if target.is_relative_to(self._folder) else None
        is_walked = inside is not None and not any(part.startswith(".") for part in inside)
        if target.is_dir():
            return READ_WHERE_IT_LIES if is_walked else HIDDEN_FOLDER
        if (is_walked and formats.is_read(target.name)) or target in self._taken:
            return READ_WHERE_IT_LIES
        self._taken.add(target)
        return None


def _folder(folder: Path, origin: str, part_bytes: int, *, bounds: Path | None = None) -> Iterator[Part | PassedOver]:
    """The parts of a folder; its links may lead anywhere in ``bounds``, which is the folder itself if None."""
    failed: list[OSError] = []
    licences: dict[str, str | None] = {}
    links = _Links(folder, bounds or folder)
    for place, subfolders, files in os.walk(folder, onerror=failed.append):  # it enters no link
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        here = Path(place)
        licences[place] = _licence_of(here, files, links) or licences.get(str(here.parent))
        for name in [*sorted(files), *(name for name in subfolders if (here / name).is_symlink())]:
            if not name.startswith("."):
                path = here / name
                relative = printable(path.relative_to(folder).as_posix())
                why_not = links.why_not(path)
                if why_not is None:
                    yield from _file(path, relative, origin, licences[place], part_bytes)
                else:
                    yield PassedOver(name=relative, reason=why_not, fix="name what it leads to as a source of its own")
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


def _licence_of(folder: Path, files: list[str], links: _Links) -> str | None:
    """What the README.md of a folder states."""
    if "README.md" not in files:
        return None
    path = folder / "README.md"
    try:
        if not path.is_file() or links.leads_out(path):
            return None
        with path.open("rb") as file:
            return licence_of_readme(file.read(_README_BYTES).decode("utf-8", "replace"))
    except OSError:
        return None  # the listing says of the file itself that it cannot be read
