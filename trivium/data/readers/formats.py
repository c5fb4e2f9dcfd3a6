"""Which reader reads which file: the one table, by suffix."""

from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import PurePosixPath

from trivium.data.documents import Document
from trivium.data.readers import compressed, html, json_arrays, jsonl, parquet, pdf, tables, text
from trivium.data.readers.parts import Part, PassedOver, ReadOptions

Reader = Callable[[BufferedReader, Part, ReadOptions], Iterator[Document | PassedOver]]
"""Reads a stream that stands at the beginning of a file; raises `DataError` where the file as a whole is no good."""

READERS: dict[str, Reader] = {
    **dict.fromkeys(text.PROSE_SUFFIXES, text.read_prose),
    **dict.fromkeys(text.CODE_SUFFIXES, text.read_code),
    **dict.fromkeys(jsonl.SUFFIXES, jsonl.read),
    **dict.fromkeys(json_arrays.SUFFIXES, json_arrays.read),
    **dict.fromkeys(html.SUFFIXES, html.read),
    **dict.fromkeys(pdf.SUFFIXES, pdf.read),
    **dict.fromkeys(tables.CSV_SUFFIXES, tables.read_csv),
    **dict.fromkeys(tables.TSV_SUFFIXES, tables.read_tsv),
    **dict.fromkeys(parquet.SUFFIXES, parquet.read),
}
SHORT_TAR = {".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz"}
"""One suffix for two."""
ARCHIVES = (".zip", ".tar", *(f".tar{end}" for end in compressed.SUFFIXES), *SHORT_TAR)


def suffix(name: str) -> str:
    """What the kind of a file is told by: ``.txt``, ``.jsonl.gz``, ``.tar.gz``; in lower case."""
    pure = PurePosixPath(name.lower())
    inner = PurePosixPath(pure.stem).suffix if pure.suffix in compressed.SUFFIXES else ""
    return inner + pure.suffix


def is_read(name: str) -> bool:
    """Whether there is a reader for a file of this name."""
    kind = suffix(name)
    return kind in ARCHIVES or kind in READERS or uncompressed(kind) in READERS


def uncompressed(kind: str) -> str | None:
    """``.jsonl`` for ``.jsonl.gz``; None for what is not compressed."""
    inner, dot, last = kind.rpartition(".")
    return inner if inner and dot + last in compressed.SUFFIXES else None


def suffixes() -> list[str]:
    """All that are read, for messages."""
    return [*READERS, *ARCHIVES, *compressed.SUFFIXES]
