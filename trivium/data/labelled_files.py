"""A folder or an archive with a folder or a file for each label; `trivium.data.labelled` reads the other forms."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from trivium.data.readers import (
    Limits,
    PassedOver,
    ReadOptions,
    archives,
    formats,
    json_arrays,
    jsonl,
    parquet,
    printable,
    tables,
)
from trivium.data.readers.bounded import Budget, bounded, read_whole
from trivium.data.readers.text import decode
from trivium.errors import DataError

_RECORDS = (*jsonl.SUFFIXES, *json_arrays.SUFFIXES, *tables.CSV_SUFFIXES, *tables.TSV_SUFFIXES, *parquet.SUFFIXES)
_ABOUT = ("readme", "license", "licence")


def is_of_records(name: str) -> bool:
    """Whether a file of this name holds one text a record."""
    suffix = formats.suffix(name)
    return (formats.uncompressed(suffix) or suffix) in _RECORDS


def labelled_files(path: Path, options: ReadOptions) -> Iterator[tuple[str, str, str]]:
    """(text, label, where it stands) of a folder or an archive; files above the folders of the labels are about the
    texts. Raises `DataError` for what does not say what is meant."""
    contents = dict(sorted(_archived(path, options.limits) if path.is_file() else _filed(path, options.limits)))
    above = {parent for name in contents for parent in name.parent.parents}
    folders = sorted({name.parent for name in contents} - above)
    names = sorted(name for name in contents if name.parent not in above)
    records = next((name for name in names if is_of_records(name.name)), None)
    if records is not None:
        raise DataError(
            "a file of records is read by itself", received=path / records, fix="name the file, not what holds it"
        )
    if len(folders) > 1:
        _require_different(path, folders)
        for name in names:
            yield _text(path, name, contents[name], options), name.parent.name, str(path / name)
    elif len(names) > 1:
        for name, label in zip(names, _differing([name.name for name in names]), strict=True):
            yield from _lines(_text(path, name, contents[name], options), label, str(path / name))


def _require_different(path: Path, folders: Sequence[PurePosixPath]) -> None:
    """Refuses train/pos beside test/pos, which would be trained on together."""
    first: dict[str, PurePosixPath] = {}
    for folder in folders:
        if (other := first.setdefault(folder.name, folder)) is not folder:
            raise DataError(
                "two folders have the name of one label",
                received=f"{path / other} and {path / folder}",
                expected="one folder for each label",
                fix=f"name {path / folder.parent}, or another folder that holds each label once",
            )


def _differing(names: Sequence[str]) -> list[str]:
    """neg and pos of reviews.neg and reviews.pos: the names without the parts that all begin or end with."""
    pieces = [name.split(".") for name in names]
    shortest = min(map(len, pieces))
    first = 0
    while first < shortest - 1 and len({each[first] for each in pieces}) == 1:
        first += 1
    last = 0
    while last < shortest - first - 1 and len({each[-1 - last] for each in pieces}) == 1:
        last += 1
    return [".".join(each[first : len(each) - last]) for each in pieces]


def _lines(text: str, label: str, file: str) -> Iterator[tuple[str, str, str]]:
    # Not splitlines: a text may hold U+2028 or a form feed.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield line.rstrip("\r"), label, f"{file}:{number}"


def _text(path: Path, name: PurePosixPath, content: bytes, options: ReadOptions) -> str:
    try:
        return decode(content, options.encoding)
    except DataError as error:
        raise PassedOver.because(error, name=str(name)).error(str(path / name)) from error


def _filed(folder: Path, limits: Limits) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of a folder and of those in it, with their paths inside it."""
    for place, _, names in os.walk(folder):  # it enters no link
        for name in names:
            path = Path(place) / name
            inside = PurePosixPath(path.relative_to(folder).as_posix())
            if not _is_text(inside):
                continue
            if path.is_symlink():  # or a folder of strangers could bring in any file of this machine
                raise DataError("a link in a folder of texts is not followed", received=path, fix="copy the file there")
            try:
                with path.open("rb") as file:
                    yield inside, read_whole(file, limits.max_file_bytes)
            except OSError as error:
                raise DataError("a file cannot be read", received=f"{path}: {error.strerror or error}") from error


def _archived(path: Path, limits: Limits) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of a .zip, with their names in it. They are never written to disk."""
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            archives.refuse_large_directory(stream, size)
            budget = Budget(limits, size)
            with zipfile.ZipFile(stream) as archive:
                for info in archive.infolist():
                    inside = PurePosixPath(printable(info.filename))
                    if info.is_dir() or not _is_text(inside):
                        continue
                    fault = archives.zip_fault(info)
                    if fault is not None:
                        raise DataError(fault, received=inside, fix="unpack the archive, and give the folder")
                    with archive.open(info) as member:
                        yield inside, read_whole(bounded(member.read, budget), limits.max_file_bytes)
    except DataError as error:
        raise DataError(
            error.what, received=f"{path}: {error.received}", expected=error.expected, fix=error.fix
        ) from error
    except (OSError, *archives.DAMAGE) as error:
        raise DataError(
            "the archive cannot be read", received=f"{path}: {error}", fix="copy it again, or unpack it"
        ) from error


def _is_text(inside: PurePosixPath) -> bool:
    """Whether a file is one of the texts: neither hidden nor what is said about them."""
    hidden = any(piece.startswith((".", "__MACOSX")) for piece in inside.parts)
    return not hidden and inside.stem.lower() not in _ABOUT
