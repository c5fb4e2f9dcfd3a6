"""Plain text, prose and code: .txt .md .rst and the suffixes of programming languages."""

import codecs
from collections.abc import Iterator
from io import BufferedIOBase

from trivium.data.documents import Document
from trivium.data.licences import licence_in_text
from trivium.data.readers.bounded import read_whole
from trivium.data.readers.parts import EMPTY, Part, PassedOver, ReadOptions
from trivium.errors import DataError

PROSE_SUFFIXES = (".txt", ".md", ".rst")
CODE_SUFFIXES = (
    *(".py", ".c", ".h", ".cpp", ".cc", ".cu", ".java", ".js", ".ts", ".go", ".rs", ".sh", ".toml", ".yaml", ".yml"),
)
_LOOKED_AT_BYTES = 8192
# The longer marks first: that of UTF-32 little-endian begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_prose(stream: BufferedIOBase, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """One document: the file. Raises `DataError` where it is empty, binary, too large or in another encoding."""
    yield _document("text", stream, part, options)


def read_code(stream: BufferedIOBase, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """As `read_prose`, for the source of a program."""
    yield _document("code", stream, part, options)


def _document(kind: str, stream: BufferedIOBase, part: Part, options: ReadOptions) -> Document:
    text = decode(read_whole(stream, options.limits.max_file_bytes), options.encoding)
    return Document(
        id=part.name,
        text=text,
        origin=part.source,
        kind=kind,
        group=part.name,
        licence=licence_in_text(text) or part.licence or options.licence,
    )


def decode(content: bytes, encoding: str) -> str:
    """The text of a whole file. A byte order mark says the encoding, and goes.

    Raises:
        DataError: the content is empty, binary or in another encoding; ``received`` says where in the file.
    """
    if not content.strip():
        raise DataError(EMPTY, fix="remove it from the sources")
    mark, encoding = marked_encoding(content, encoding)
    if not mark:
        refuse_binary(content[:_LOOKED_AT_BYTES], encoding)
    try:
        text = content[mark:].decode(encoding)
    except UnicodeDecodeError as error:
        place = mark + error.start
        raise DataError(
            f"the file is not encoded in {encoding}",
            received=f"byte 0x{content[place]:02x} at offset {place}" if place < len(content) else "cut short",
            expected=f"valid {encoding}",
            fix=f"set encoding to {_likely_encoding(content)}, or convert the file to UTF-8",
        ) from error
    return text.removeprefix("\ufeff")


def marked_encoding(content: bytes, encoding: str) -> tuple[int, str]:
    """(length of the byte order mark, the encoding it says); (0, ``encoding``) where there is none."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return len(mark), name
    return 0, encoding


def refuse_binary(head: bytes, encoding: str) -> None:
    """Raises `DataError` if ``head``, the beginning of a file, holds a zero byte that ``encoding`` does not explain."""
    if b"\x00" not in head or "16" in encoding or "32" in encoding:
        return
    raise DataError(
        "the file is binary, not text",
        received=f"a zero byte at offset {head.index(0)}",
        expected=f"text encoded in {encoding}",
        fix=f"{_utf16_hint(head)}remove it from the sources, or convert it to text",
    )


def _utf16_hint(head: bytes) -> str:
    """In UTF-16, text of European languages has a zero in every second byte."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > len(head) // 4 and not even:
        return "set encoding to utf-16-le, "
    if even > len(head) // 4 and not odd:
        return "set encoding to utf-16-be, "
    return ""


def _likely_encoding(content: bytes) -> str:
    # Windows-1252 leaves five bytes undefined; text that avoids them is nearly always in it.
    undefined = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
    return "latin-1" if undefined & set(content) else "cp1252"
