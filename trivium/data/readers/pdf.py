"""PDF: the texts of the pages, in order, without the heads and feet that most of them share.

Scanned pages have no text; encrypted files are refused.
"""

import io
import logging
from collections.abc import Iterator
from typing import Any

from trivium.data.boilerplate import strip_running_heads
from trivium.data.documents import Document
from trivium.data.readers.bounded import read_whole
from trivium.data.readers.parts import Part, PassedOver, ReadOptions, missing
from trivium.errors import DataError

SUFFIXES = (".pdf",)
# What one page may cost. A dense page of text has some 20,000 operators and a content of 0.2 MB.
_WORK = {
    "zlib_maximum_output_length": 16 << 20,
    "lzw_maximum_output_length": 4 << 20,
    "run_length_maximum_output_length": 16 << 20,
    "brotli_maximum_output_length": 16 << 20,
    "array_based_stream_maximum_output_length": 16 << 20,
    "zlib_maximum_recovery_input_length": 1 << 20,
    "stream_decoding_work_maximum_length": 64 << 20,
    "stream_parsing_work_maximum_count": 200_000,
    "xform_maximum_invocations_per_extraction": 500,
    "jbig2dec_binary": None,  # no other program is ever started
    "disable_legacy_handling": True,
}


def read(stream: io.BufferedIOBase, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """One document: the texts of the pages, a blank line between them; a page that cannot be read is passed over.

    Raises:
        DataError: the file is no PDF, is damaged, encrypted or too large, or has no text.
    """
    content = read_whole(stream, options.limits.max_parsed_bytes)
    if b"%PDF-" not in content[:1024]:
        raise DataError("the file is no PDF", received="no %PDF- in its first 1024 bytes")
    texts, faults = _pages(content, options)
    yield from (PassedOver(name=f"{part.name}:page {number}", reason=why) for number, why in faults)
    pages, _ = strip_running_heads([text for text in texts if text])
    text = "\n\n".join(page for page in pages if page.strip())
    if not text and faults:
        raise DataError("no page of the PDF can be read", received=f"page {faults[0][0]}: {faults[0][1]}")
    if not text:
        raise DataError("the pages hold no text", received=f"{len(texts)} pages", fix="recognise the text of the scans")
    yield Document(
        id=part.name,
        text=text,
        origin=part.source,
        kind="pdf",
        group=part.name,
        licence=part.licence or options.licence,
    )


def _pages(content: bytes, options: ReadOptions) -> tuple[list[str], list[tuple[int, str]]]:
    """The texts of the pages; and the numbers, from 1, of those that cannot be read, with the reason."""
    try:
        import pypdf
        import pypdf.errors
    except ImportError as error:
        raise missing("pypdf", "a PDF") from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it prints a line for each oddity of a file
    most_pages = options.limits.max_pages
    texts: list[str] = []
    faults: list[tuple[int, str]] = []
    left = options.limits.max_parsed_bytes
    with pypdf.apply_configuration(**_WORK, page_tree_maximum_entries=most_pages):
        pages = _opened(pypdf, content, most_pages)
        for number in range(len(pages)):
            # A parser of other people's files meets errors of every kind in them: each ends its page only.
            try:
                text = pages[number].extract_text().strip()
            except pypdf.errors.LimitReachedError:
                faults.append((number + 1, "the page is too large"))
            except MemoryError:
                raise
            except Exception:
                faults.append((number + 1, "the page is damaged"))
            else:
                texts.append(text)
                left -= len(text)
            if left < 0:
                raise DataError("it expands beyond the limit", received=f"by page {number + 1}")
    return texts, faults


def _opened(pypdf: Any, content: bytes, most_pages: int) -> Any:
    """The sequence of pages. Raises `DataError`."""
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            raise DataError("the file is encrypted", fix="save it without a password")
        pages = reader.pages
        count = len(pages)
    except (DataError, MemoryError):
        raise
    except pypdf.errors.LimitReachedError as error:
        raise DataError("the PDF exceeds a limit", received=str(error)[:200]) from error
    except Exception as error:  # as above: any kind
        raise DataError("the PDF is damaged", received=str(error)[:200] or type(error).__name__) from error
    if count > most_pages:
        raise DataError("the PDF exceeds a limit", received=f"{count:,} pages", expected=f"at most {most_pages:,}")
    return pages
