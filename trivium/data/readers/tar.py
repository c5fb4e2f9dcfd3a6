"""The members of a tar archive, as a stream: nothing is written, nothing is sought, no member refers to another.

`tarfile` opens archives too, but reads extended headers of any size, and in some releases loops for ever on negative
sizes (CVE-2025-8194) or takes quadratic time (CVE-2024-6232). Its parser of a single header block is used.
"""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase

from trivium.data.readers.bounded import skip
from trivium.errors import DataError

_BLOCK = 512
_MOST_EXTENDED_BYTES = 64 << 10
_WITHOUT_CONTENT = (
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
)
_LINK, _DEVICE, _OTHER = "a link in an archive is not followed", "a device is not read", "a special file is not read"
_FAULTS = {
    tarfile.REGTYPE: None,
    tarfile.AREGTYPE: None,
    tarfile.CONTTYPE: None,
    tarfile.SYMTYPE: _LINK,
    tarfile.LNKTYPE: _LINK,
    tarfile.CHRTYPE: _DEVICE,
    tarfile.BLKTYPE: _DEVICE,
    tarfile.FIFOTYPE: _DEVICE,
}


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member that is to be looked at; folders are not."""

    name: str
    """As the archive spells it."""
    size: int
    """Bytes of its content."""
    fault: str | None
    """Why its content is not read, where that is so."""
    read: Callable[[int], bytes]
    """At most so many bytes of its content, none at the end; until the next member is asked for."""


def members(stream: BufferedIOBase) -> Iterator[Member]:
    """The members in order.

    Raises:
        DataError: the archive is damaged or cut short.
    """
    extended: dict[str, str] = {}
    while (header := _header(stream)) is not None:
        kind, size = header.type, _checked(header.size)
        if kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            extended |= _pax_records(_extended(stream, size))
        elif kind == tarfile.GNUTYPE_LONGNAME:
            extended["path"] = _extended(stream, size).rstrip(b"\x00").decode("utf-8", "surrogateescape")
        elif kind in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            _extended(stream, size)
        else:
            size = 0 if kind in _WITHOUT_CONTENT else _whole(extended.get("size"), size)
            content = _Content(stream, size)
            if kind != tarfile.DIRTYPE:
                name = extended.get("path", header.name)
                yield Member(name=name, size=size, fault=_FAULTS.get(kind, _OTHER), read=content.read)
            content.finish()
            extended = {}


class _Content:
    """The content of one member, and the padding to a whole block after it."""

    def __init__(self, stream: BufferedIOBase, size: int):
        self._stream = stream
        self._left = size
        self._padding = -size % _BLOCK

    def read(self, count: int) -> bytes:
        data = self._stream.read(min(count, self._left))
        self._left -= len(data)
        if not data and self._left and count:
            raise _cut_short()
        return data

    def finish(self) -> None:
        if skip(self._stream, self._left + self._padding) < self._left:
            raise _cut_short()


def _header(stream: BufferedIOBase) -> tarfile.TarInfo | None:
    """The next header; None at the end. An archive ends with zeros, or where the file does."""
    block = stream.read(_BLOCK)
    if not block:
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if block.count(0) == len(block):
            return None
        if len(block) < _BLOCK:
            raise _cut_short() from error
        raise _damaged(str(error)) from error
    if header.type == tarfile.GNUTYPE_SPARSE:
        _skip_sparse_map(stream, block)
    return header


def _skip_sparse_map(stream: BufferedIOBase, block: bytes) -> None:
    """Old GNU sparse files have more blocks of header: a byte at 482, then at 504, says that another follows."""
    more = block[482]
    while more:
        block = stream.read(_BLOCK)
        more = len(block) == _BLOCK and block[504]


def _extended(stream: BufferedIOBase, size: int) -> bytes:
    """The content of an extended header."""
    if size > _MOST_EXTENDED_BYTES:
        raise _damaged(f"an extended header of {size:,} bytes")
    content = _Content(stream, size)
    data = b"".join(iter(lambda: content.read(size), b""))
    content.finish()
    return data


def _pax_records(data: bytes) -> dict[str, str]:
    """``path`` and ``size`` of an extended header (POSIX.1-2001): records "length key=value" and a line end."""
    found: dict[str, str] = {}
    while data:
        length, space, _ = data[:20].partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(data):
            raise _damaged("an extended header that cannot be read")
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        data = data[int(length) :]
    return found


def _whole(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _damaged("an extended header with a size that is no number")
    return int(text)


def _checked(size: int) -> int:
    if not 0 <= size < 1 << 62:
        raise _damaged(f"a member of {size} bytes")
    return size


def _damaged(detail: str) -> DataError:
    return DataError("the archive is damaged", received=detail, fix="make it again, or unpack it with another program")


def _cut_short() -> DataError:
    return DataError("the archive is cut short", fix="copy it again from where it was made")
