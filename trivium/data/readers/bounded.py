"""Reading no more than was agreed, whatever a file says of itself."""

import io
from collections.abc import Callable

from trivium.data.readers.parts import Limits
from trivium.errors import DataError

_BLOCK = 1 << 20
# Below this, whatever the ratio: a short text of one repeated line is no bomb.
_HARMLESS_BYTES = 16 << 20


class Budget:
    """What may still come out of one compressed file. Every stream of an archive spends from the same budget."""

    def __init__(self, limits: Limits, compressed_bytes: int):
        self._limits = limits
        self._compressed_bytes = compressed_bytes
        self._expanded_bytes = 0

    def spend(self, count: int) -> None:
        """Raises `DataError` when the file turns out to be a bomb."""
        self._expanded_bytes += count
        most = max(_HARMLESS_BYTES, self._limits.max_ratio * self._compressed_bytes)
        if self._expanded_bytes > min(most, self._limits.max_expanded_bytes):
            raise DataError(
                "it expands beyond the limit",
                received=f"more than {self._expanded_bytes:,} bytes from {self._compressed_bytes:,}",
                expected=f"at most {self._limits.max_ratio} times its size, and {self._limits.max_expanded_bytes:,}",
                fix="if the file is honest, raise max_ratio or max_expanded_bytes",
            )


class BoundedStream(io.RawIOBase):
    """Bytes from ``read`` (count -> at most so many, none at the end), each paid from ``budget``."""

    def __init__(self, read: Callable[[int], bytes], budget: Budget):
        super().__init__()
        self._read_some = read
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        data = self._read_some(len(buffer))
        self._budget.spend(len(data))
        buffer[: len(data)] = data
        return len(data)


def bounded(read: Callable[[int], bytes], budget: Budget) -> io.BufferedReader:
    """A buffered stream of `BoundedStream`."""
    return io.BufferedReader(BoundedStream(read, budget), buffer_size=1 << 16)


def read_whole(stream: io.BufferedIOBase, limit: int) -> bytes:
    """All that is left of the stream. Raises `DataError` if that is more than ``limit`` bytes."""
    pieces: list[bytes] = []
    size = 0
    while block := stream.read(_BLOCK):
        size += len(block)
        if size > limit:
            raise DataError(
                "the file is too large to be read whole",
                received=f"more than {limit:,} bytes",
                expected=f"at most {limit:,} bytes",
                fix="cut it into lines of .jsonl, or raise the limit",
            )
        pieces.append(block)
    return b"".join(pieces)


def skip(stream: io.BufferedIOBase, count: int) -> int:
    """Reads ``count`` bytes away. Returns how many there were."""
    left = count
    while left > 0 and (block := stream.read(min(left, _BLOCK))):
        left -= len(block)
    return count - left


def skip_line(stream: io.BufferedIOBase) -> int:
    """Reads to the end of the line that the stream stands in. Returns how many bytes."""
    count = 0
    while piece := stream.readline(_BLOCK):
        count += len(piece)
        if piece.endswith(b"\n"):
            break
    return count
