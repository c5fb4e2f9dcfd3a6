"""From files to documents, as a stream: list the parts of a source, then read each part, in any process.

parts       a part, how to read it, what was passed over and why
listing     files, folders, archives and data sets of the hub become parts
reading     a part becomes documents
formats     which reader reads which suffix: text, jsonl, html, pdf, tables, parquet, archives
bounded     no more is read, expanded or held than was agreed
"""

from trivium.data.readers.formats import suffixes
from trivium.data.readers.listing import list_parts
from trivium.data.readers.parts import HARMLESS, Limits, Part, PassedOver, ReadOptions, printable
from trivium.data.readers.reading import read_part
from trivium.data.readers.stdin import spool_stdin

__all__ = [
    "HARMLESS",
    "Limits",
    "Part",
    "PassedOver",
    "ReadOptions",
    "list_parts",
    "printable",
    "read_part",
    "spool_stdin",
    "suffixes",
]
