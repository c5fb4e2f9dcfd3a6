"""JSON lines: one object a line. UTF-8, as RFC 8259 (section 8.1) has it, whatever the encoding of the other files."""

import json
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from trivium.data.documents import Document
from trivium.data.readers.bounded import skip_line
from trivium.data.readers.parts import EMPTY, Part, PassedOver, ReadOptions
from trivium.data.readers.records import document_of
from trivium.errors import DataError

SUFFIXES = (".jsonl", ".ndjson")
_BLOCK = 1 << 20
MARK = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""
_FIX = "correct or remove it"


def cut(path: Path, part_bytes: int) -> Iterator[tuple[int, int, int]]:
    """(start, end, number of the first line) of pieces of about ``part_bytes``, each ending where a line ends."""
    with path.open("rb") as file:
        start, line = 0, 1
        while True:
            end, lines = start, 0
            while end - start < part_bytes and (block := file.read(min(_BLOCK, part_bytes - (end - start)))):
                end += len(block)
                lines += block.count(b"\n")
            if end == start:
                return
            rest = skip_line(file)
            # The piece that was read may end in the middle of a line: what completes it ends it, once.
            yield start, end + rest, line
            start, line = end + rest, line + lines + (rest > 0)


def read(stream: BufferedIOBase, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """The records of the lines of a part, one at a time; a line that cannot be used is passed over."""
    if part.start:
        stream.seek(part.start)
    limit = options.limits.max_record_bytes
    position, number = part.start, part.first_line
    found = False
    while part.end is None or position < part.end:
        line = stream.readline(limit + 1)
        if not line:
            break
        position += len(line)
        if len(line) > limit:
            position += 0 if line.endswith(b"\n") else skip_line(stream)
            yield _bad(part, number, "the line is too long", f"more than {limit:,} bytes", len(line))
        elif line.strip():
            yield record_of(line.removeprefix(MARK) if number == 1 else line, number, part, options)
        found = found or bool(line.strip())
        number += 1
    if not found and part.start == 0:
        raise DataError(EMPTY, fix="remove it from the sources")


def record_of(
    written: bytes, number: int, part: Part, options: ReadOptions, *, noun: str = "line"
) -> Document | PassedOver:
    """The document of one JSON object; ``noun`` is what the user knows it as."""
    try:
        record = json.loads(written.decode("utf-8"))
    except UnicodeDecodeError as error:
        where = f"byte 0x{written[error.start]:02x} at offset {error.start} of the {noun}"
        return _bad(part, number, f"the {noun} is not encoded in utf-8", where, len(written))
    except json.JSONDecodeError as error:
        return _bad(part, number, f"the {noun} is not JSON", f"{error.msg} at column {error.colno}", len(written))
    except RecursionError:
        return _bad(part, number, f"the {noun} is not JSON", "brackets too deep to read", len(written))
    except ValueError:  # Python refuses whole numbers of more than 4,300 digits
        return _bad(part, number, f"the {noun} is not JSON", "a number too long to read", len(written))
    if not isinstance(record, dict):
        return _bad(part, number, f"the {noun} is no JSON object", f"a {type(record).__name__}", len(written))
    return document_of(record, number, part, options, len(written))


def _bad(part: Part, number: int, reason: str, detail: str, size: int) -> PassedOver:
    return PassedOver(
        name=f"{part.name}:{number}",
        reason=reason,
        num_bytes=size,
        detail=detail,
        fix=_FIX,
        hint='JSON objects, such as {"text": "..."}',
    )
