"""Compressed streams, expanded piece by piece within a budget: gzip (RFC 1952), Zstandard (RFC 8878), bzip2 and xz."""

import os
import zlib
from collections.abc import Callable
from io import BufferedIOBase, BufferedReader
from typing import Any

from trivium.data.readers.bounded import Budget, bounded
from trivium.data.readers.parts import EMPTY, Limits, missing
from trivium.errors import DataError, Unsupported

SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
_BLOCK = 1 << 16
_GZIP = zlib.MAX_WBITS | 16
_MAGIC = b"\x1f\x8b"
# `xz -9` needs 65 MiB to expand; a header may ask for 4 GiB.
_XZ_MEMORY_BYTES = 128 << 20


def expanded(stream: BufferedIOBase, suffix: str, limits: Limits) -> BufferedReader:
    """What ``stream``, a file on disk, expands to; reading it raises `DataError` where it is damaged or a bomb."""
    budget = Budget(limits, os.fstat(stream.fileno()).st_size)
    if suffix == ".gz":
        return bounded(_Gzip(stream).read, budget)
    if suffix == ".zst":
        return bounded(_zstandard(stream), budget)
    return bounded((_bzip2(stream) if suffix == ".bz2" else _xz(stream)).read, budget)


class _Gzip:
    """One gzip member after another.

    The `gzip` module is not used: it reads the name in a header byte by byte and without limit.
    """

    def __init__(self, stream: BufferedIOBase):
        self._stream = stream
        self._member = zlib.decompressobj(_GZIP)
        self._input = b""
        self._has_begun = False

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes; none at the end."""
        while True:
            if self._member.eof and not self._next_member():
                return b""
            block = self._input or self._stream.read(_BLOCK)
            if not block:
                if not self._has_begun:
                    raise DataError(EMPTY, fix="remove it from the sources")
                raise DataError("the compressed file is cut short", fix="copy it again from where it was made")
            self._has_begun = True
            try:
                data = self._member.decompress(block, count)
            except zlib.error as error:
                raise _damaged(str(error)) from error
            self._input = self._member.unconsumed_tail
            if data:
                return data

    def _next_member(self) -> bool:
        """Whether another member follows; padding with zeros is allowed, as `gzip` allows it."""
        rest = self._member.unused_data
        while not (rest := rest.lstrip(b"\x00")):
            if not (rest := self._stream.read(_BLOCK)):
                return False
        if len(rest) < len(_MAGIC):
            rest += self._stream.read(_BLOCK)
        if not rest.startswith(_MAGIC):
            raise _damaged("something else follows the compressed data")
        self._member, self._input = zlib.decompressobj(_GZIP), rest
        return True


class _Concatenated:
    """One bzip2 or xz stream after another, by the interface that both modules of Python have."""

    def __init__(self, stream: BufferedIOBase, decompressor: Callable[[], Any], error: type[Exception]):
        self._stream = stream
        self._new = decompressor
        self._error = error
        self._one = decompressor()
        self._has_begun = False

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes; none at the end."""
        while True:
            block = b""
            if self._one.eof:
                # Between streams xz may have zeros (its format, section 2.2).
                while not (block := (block or self._one.unused_data).lstrip(b"\x00")):
                    if not (block := self._stream.read(_BLOCK)):
                        return b""
                self._one = self._new()
            elif self._one.needs_input and not (block := self._stream.read(_BLOCK)):
                if self._has_begun:
                    raise DataError("the compressed file is cut short", fix="copy it again from where it was made")
                raise DataError(EMPTY, fix="remove it from the sources")
            self._has_begun = True
            try:
                data = self._one.decompress(block, count)
            except (self._error, EOFError, ValueError) as error:
                raise _damaged(str(error)) from error
            if data:
                return data


def _bzip2(stream: BufferedIOBase) -> _Concatenated:
    try:
        import bz2
    except ImportError as error:
        raise _not_built("bz2") from error
    return _Concatenated(stream, bz2.BZ2Decompressor, OSError)


def _xz(stream: BufferedIOBase) -> _Concatenated:
    try:
        import lzma
    except ImportError as error:
        raise _not_built("lzma") from error
    return _Concatenated(stream, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY_BYTES), lzma.LZMAError)


def _not_built(module: str) -> Unsupported:
    return Unsupported(
        "this Python was built without a module that the file needs",
        received=f"no {module}",
        fix="expand the file first, or use another Python",
    )


def _zstandard(stream: BufferedIOBase) -> Callable[[int], bytes]:
    try:
        import pyarrow
    except ImportError as error:
        raise missing("pyarrow", "a .zst file") from error
    source = pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, "r"), "zstd")

    def read(count: int) -> bytes:
        try:
            return source.read(count)
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(str(error)[:200]) from error

    return read


def _damaged(detail: str) -> DataError:
    return DataError("the compressed file is damaged", received=detail, fix="copy it again from where it was made")
