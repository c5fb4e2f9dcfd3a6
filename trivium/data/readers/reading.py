"""A part of a source, read: documents and findings, one at a time, whatever the file holds."""

from collections.abc import Iterator
from pathlib import Path

from trivium.data.documents import Document
from trivium.data.readers import archives, formats
from trivium.data.readers.parts import Part, PassedOver, ReadOptions
from trivium.errors import DataError, Unsupported


def read_part(part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """The documents of ``part``, and what was passed over, in the order of the file.

    Memory is bounded by the largest document, and by ``options.limits``. Nothing that a file holds makes this raise:
    a record that is bad is passed over and the next one is read; a file that is bad ends with one finding that bears
    its name.
    """
    try:
        with Path(part.path).open("rb") as stream:
            yield from _reader(part.name)(stream, part, options)
    except (DataError, Unsupported) as error:
        yield PassedOver.because(error, name=part.name, num_bytes=part.num_bytes)
    except OSError as error:
        yield unreadable(part.name, error, part.num_bytes)
    except MemoryError:
        yield PassedOver(
            name=part.name, reason="it needs more memory than this process may use", num_bytes=part.num_bytes
        )
    except RecursionError:
        yield PassedOver(name=part.name, reason="it is nested too deep to be read", num_bytes=part.num_bytes)


def unreadable(name: str, error: OSError, num_bytes: int = 0) -> PassedOver:
    """A file that the system does not let us read."""
    return PassedOver(
        name=name,
        reason="the file cannot be read",
        num_bytes=num_bytes,
        detail=error.strerror or str(error),
        fix="check its permissions, or remove it from the sources",
    )


def _reader(name: str) -> formats.Reader:
    return formats.READERS.get(formats.suffix(name), archives.read)
