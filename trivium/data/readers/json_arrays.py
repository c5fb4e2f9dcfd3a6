"""JSON files: an array of objects, each a record; or objects one after another, on lines or not. UTF-8 (RFC 8259).

The file is never held as a whole: its elements are found by counting brackets outside of strings, and parsed one at a
time. Most .json files of a folder are settings and no text: one whose first element is no record is passed over as a
kind of file that is not read, unless the user named it.
"""

import re
from collections.abc import Iterator
from io import BufferedIOBase

from trivium.data.documents import Document
from trivium.data.readers.jsonl import MARK, record_of
from trivium.data.readers.parts import EMPTY, OTHER_KIND, Part, PassedOver, ReadOptions
from trivium.errors import DataError

SUFFIXES = (".json",)
_BLOCK = 1 << 16
_STRUCTURE = re.compile(rb'["{}\[\],]')
_IN_STRING = re.compile(rb'["\\]')
# Python's own parser gives up at about a thousand.
_MOST_DEPTH = 500


def read(stream: BufferedIOBase, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """The records of a file, one at a time; one that cannot be used is passed over.

    Raises:
        DataError: the file is empty, cut short, nested too deep, or no JSON from some place on.
    """
    limit = options.limits.max_record_bytes
    number = 0
    for number, element in enumerate(_Elements(stream, limit), start=1):
        if isinstance(element, int):
            name, detail = f"{part.name}:{number}", f"more than {limit:,} bytes"
            found = PassedOver(name=name, reason="the record is too long", num_bytes=element, detail=detail)
        else:
            found = record_of(element, number, part, options, noun="record")
        if number == 1 and isinstance(found, PassedOver) and not part.is_named:
            detail = f"no records with a field `{options.text_field}`"
            yield PassedOver(name=part.name, reason=OTHER_KIND, num_bytes=part.num_bytes, detail=detail)
            return
        yield found
    if not number:
        raise DataError(EMPTY, received="no records", fix="remove it from the sources")


class _Elements:
    """The elements of a stream: their bytes, or only the number of these where it is above the limit."""

    def __init__(self, stream: BufferedIOBase, limit: int):
        self._stream = stream
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0
        self._depth = 0
        self._in_string = self._escaped = False

    def __iter__(self) -> Iterator[bytes | int]:
        block, in_array = self._begin()
        while block:
            done = place = 0
            while place < len(block):
                sign, place = self._next_sign(block, place)
                ends_value = sign in (b"}", b"]") and self._depth == 0
                if in_array and (ends_value or (sign == b"," and self._depth == 1)):
                    yield from self._element(block[done : place - 1], may_be_none=ends_value)
                    done = place
                    if ends_value:
                        self._refuse_more(block[place:])
                        return
                elif ends_value:
                    yield from self._element(block[done:place])
                    done = place
            self._hold(block[done:])
            block = self._stream.read(_BLOCK)
        if in_array:
            raise DataError("the JSON file is cut short", fix="copy it again from where it was made")
        yield from self._element(b"", may_be_none=True)

    def _begin(self) -> tuple[bytes, bool]:
        """The first block, without what precedes the first element; and whether the file is an array."""
        block = self._stream.read(_BLOCK).removeprefix(MARK).lstrip()
        while not block:
            if not (block := self._stream.read(_BLOCK)):
                return b"", False
            block = block.lstrip()
        self._depth = int(block.startswith(b"["))
        return block[self._depth :] or self._stream.read(_BLOCK), self._depth == 1

    def _next_sign(self, block: bytes, place: int) -> tuple[bytes, int]:
        """The next sign of structure that stands outside of strings, and the place after it; at the end, nothing."""
        while place < len(block):
            if self._escaped:
                self._escaped = False
                place += 1
                continue
            match = (_IN_STRING if self._in_string else _STRUCTURE).search(block, place)
            if match is None:
                break
            sign, place = match[0], match.end()
            if sign == b'"':
                self._in_string = not self._in_string
            elif sign == b"\\":
                self._escaped = True
            else:
                self._depth += (sign in (b"{", b"[")) - (sign in (b"}", b"]"))
                if not 0 <= self._depth <= _MOST_DEPTH:
                    raise _broken("brackets that close nothing" if self._depth < 0 else "brackets too deep to read")
                return sign, place
        return b"", len(block)

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._limit:
            self._held.append(piece)
        else:
            self._held.clear()

    def _element(self, last: bytes, *, may_be_none: bool = False) -> Iterator[bytes | int]:
        self._hold(last)
        element, size = b"".join(self._held), self._size
        self._held.clear()
        self._size = 0
        if size > self._limit:
            yield size
        elif element.strip():
            yield element
        elif not may_be_none:
            raise _broken("a comma after nothing")

    def _refuse_more(self, rest: bytes) -> None:
        while rest:
            if rest.strip():
                raise _broken("something else follows the array")
            rest = self._stream.read(_BLOCK)


def _broken(detail: str) -> DataError:
    return DataError(
        "the file is no JSON",
        received=detail,
        expected='an array of objects, such as [{"text": "..."}]',
        fix="correct it, or convert it to .jsonl",
    )
