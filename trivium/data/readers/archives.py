"""Archives (.zip, .tar plain or compressed) and compressed files: members are read where they lie, never written to
disk.

So a name that leads outside, a link or a device can do nothing; they are passed over all the same, because no honest
archive of text has them. Archives in archives are not opened.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BufferedReader
from pathlib import PurePosixPath
from typing import IO

from trivium.data.documents import Document
from trivium.data.readers import compressed, formats, tar
from trivium.data.readers.bounded import Budget, bounded
from trivium.data.readers.parts import OTHER_KIND, Part, PassedOver, ReadOptions, printable
from trivium.errors import DataError, Unsupported

_OUTSIDE = "a name that leads outside the archive"
_MOST_DIRECTORY_BYTES = 64 << 20
_MOST_NAME = 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    LookupError,
)
"""All that `zipfile` was seen to raise on files that are not what they say."""


def read(stream: BufferedReader, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """The documents of all members, in the order of the archive. Raises `DataError` where it is damaged or a bomb."""
    kind = formats.suffix(part.name)
    if kind == ".zip":
        yield from _zip(stream, part, options)
        return
    inner = formats.uncompressed(kind)
    if kind in formats.SHORT_TAR:
        stream, inner = compressed.expanded(stream, formats.SHORT_TAR[kind], options.limits), ".tar"
    elif inner:
        stream = compressed.expanded(stream, kind.removeprefix(inner), options.limits)
    if (inner or kind) == ".tar":
        yield from _tar(stream, part, options)
    else:
        assert inner is not None
        yield from formats.READERS[inner](stream, part, options)


def _zip(stream: BufferedReader, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    size = stream.seek(0, 2)
    stream.seek(0)
    refuse_large_directory(stream, size)
    budget = Budget(options.limits, size)
    try:
        with zipfile.ZipFile(stream) as archive:
            for number, info in enumerate(archive.infolist(), start=1):
                _count(number, options)
                if info.is_dir():
                    continue
                content = _zip_content(archive, info)
                yield from _member(info.filename, info.file_size, zip_fault(info), content, budget, part, options)
    except DataError:
        raise
    except DAMAGE as error:
        raise _damaged(error) from error


def _tar(stream: BufferedReader, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    # What a compressed archive expands to is paid where it is expanded; a plain one cannot expand.
    free = Budget(replace(options.limits, max_ratio=1 << 60, max_expanded_bytes=1 << 60), 1)
    for number, member in enumerate(tar.members(stream), start=1):
        _count(number, options)
        yield from _member(member.name, member.size, member.fault, member.read, free, part, options)


def _member(
    name: str,
    size: int,
    fault: str | None,
    read_some: Callable[[int], bytes],
    budget: Budget,
    part: Part,
    options: ReadOptions,
) -> Iterator[Document | PassedOver]:
    """The documents of one member, or why there are none; what is wrong with the whole archive is raised."""
    inside = replace(part, name=f"{part.name}/{printable(name[:_MOST_NAME])}", num_bytes=size, is_named=False)
    pieces = PurePosixPath(name.replace("\\", "/")).parts
    if any(piece.startswith(".") and piece != ".." for piece in pieces):
        return  # hidden files are not looked at in folders either
    if ".." in pieces or name.startswith(("/", "\\")) or (pieces and pieces[0][1:2] == ":"):
        yield PassedOver(name=inside.name, reason=_OUTSIDE, num_bytes=size)
    elif fault is not None:
        yield PassedOver(name=inside.name, reason=fault, num_bytes=size)
    elif formats.suffix(name) not in formats.READERS:
        yield PassedOver(name=inside.name, reason=_reason(name), num_bytes=size, detail=formats.suffix(name))
    else:
        content = bounded(read_some, budget)
        try:
            yield from formats.READERS[formats.suffix(name)](content, inside, options)
        except (DataError, Unsupported) as error:
            budget.spend(0)  # a bomb ends the whole archive
            yield PassedOver.because(error, name=inside.name, num_bytes=size)


def _reason(name: str) -> str:
    is_archive = formats.is_read(name) or formats.uncompressed(formats.suffix(name)) is not None
    return "an archive in an archive is not opened" if is_archive else OTHER_KIND


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
    """Reads from a member, which is opened when it is first read."""
    member: IO[bytes] | None = None

    def read_some(count: int) -> bytes:
        nonlocal member
        try:
            member = member or archive.open(info)
            return member.read(count)
        except DAMAGE as error:
            raise _damaged(error) from error

    return read_some


def zip_fault(info: zipfile.ZipInfo) -> str | None:
    """Why a member is not read; None where it may be."""
    # The upper half holds the mode of Unix where the archive was made there: 0o120000 is a symbolic link.
    if info.external_attr >> 16 & 0o170000 == 0o120000:
        return "a link in an archive is not followed"
    if info.flag_bits & _ENCRYPTED:
        return "the file is encrypted"
    if info.compress_type not in _METHODS:
        return "the method of compression is not read"
    return None


def refuse_large_directory(stream: BufferedReader, size: int) -> None:
    """`zipfile` holds the directory of an archive in memory, at about ten times its size."""
    tail_bytes = min(size, 22 + 0xFFFF + 76)
    stream.seek(size - tail_bytes)
    tail = stream.read(tail_bytes)
    stream.seek(0)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        return  # no archive: `zipfile` says so
    directory = int.from_bytes(tail[end + 12 : end + 16], "little")
    if tail[end - 76 : end - 72] == b"PK\x06\x06":  # ZIP64: `zipfile` believes this record
        directory = int.from_bytes(tail[end - 36 : end - 28], "little")
    if directory > _MOST_DIRECTORY_BYTES:
        raise DataError(
            "the archive has too many members",
            received=f"a directory of {directory:,} bytes",
            expected=f"at most {_MOST_DIRECTORY_BYTES:,}",
            fix="unpack it into a folder",
        )


def _count(number: int, options: ReadOptions) -> None:
    if number > options.limits.max_members:
        raise DataError(
            "the archive has too many members",
            received=f"more than {options.limits.max_members:,}",
            fix="unpack it into a folder, or raise max_members",
        )


def _damaged(error: Exception) -> DataError:
    return DataError(
        "the archive is damaged",
        received=str(error)[:200] or type(error).__name__,
        fix="copy it again, or make it again",
    )
