"""PDF files, made byte by byte: a good one, and those that were made to harm."""

import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pypdf

_DEEP = 100_000


def pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A PDF of objects 1, 2, ...: the first is the catalogue. HERE in ``trailer`` is the place of the table."""
    target = io.BytesIO(b"%PDF-1.7\n")
    target.seek(0, 2)
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(target.tell())
        target.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = target.tell()
    target.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    target.writelines(b"%010d 00000 n \n" % place for place in places)
    trailer = trailer.replace(b"HERE", b"%d" % start)
    target.write(b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (len(objects) + 1, trailer))
    target.write(b"startxref\n%d\n%%%%EOF\n" % start)
    return target.getvalue()


def stream(content: bytes, entries: bytes = b"/Filter /FlateDecode", level: int = 9) -> bytes:
    """A compressed stream of a PDF."""
    packed = zlib.compress(content, level)
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(packed), entries, packed)


_CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"
_ONE_PAGE = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
_FONT = b"/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
_PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << " + _FONT + b" >> >>"
_WORDS = b"BT /F 1 Tf (good page) Tj ET"
GOOD_PDF = pdf(_CATALOGUE, _ONE_PAGE, _PAGE, stream(_WORDS))
"""A page that says "good page"."""


def pdfs(canary: Path, large: int) -> Iterator[tuple[str, bytes, str | None]]:
    """(name, content, pattern of the reason) of each; ``large`` is the size in bytes of what is long."""
    yield "pages-loop.pdf", pdf(_CATALOGUE, b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"), "PDF"
    yield "xref-loop.pdf", pdf(_CATALOGUE, _ONE_PAGE, _PAGE, stream(_WORDS), trailer=b"/Prev HERE"), None
    yield "bomb.pdf", pdf(_CATALOGUE, _ONE_PAGE, _PAGE, stream(b" " * (10 * large), level=1)), "page is too large"
    yield "work.pdf", pdf(_CATALOGUE, _ONE_PAGE, _PAGE, stream(b"BT (a) Tj ET " * 500_000)), "page is too large"
    yield "truncated.pdf", GOOD_PDF[:150], "PDF"
    yield "no.pdf", b"no PDF at all", "no PDF"
    yield "count.pdf", pdf(_CATALOGUE, _ONE_PAGE.replace(b"1 >>", b"999999999 >>"), _PAGE, stream(b"")), "no text"
    kids = b"<< /Type /Pages /Kids [" + b"3 0 R " * 50_000 + b"] /Count 50000 >>"
    yield "kids.pdf", pdf(_CATALOGUE, kids, _PAGE, stream(b"")), "limit"
    nested = [b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (number + 1) for number in range(2, 5000)]
    yield "nested.pdf", pdf(_CATALOGUE, *nested), "PDF"
    form = stream(b"/X Do /X Do", b"/Filter /FlateDecode /Subtype /Form /Resources << /XObject << /X 5 0 R >> >>")
    page = _PAGE.replace(b"/Font", b"/XObject << /X 5 0 R >> /Font")
    yield "forms.pdf", pdf(_CATALOGUE, _ONE_PAGE, page, stream(b"/X Do"), form), "page|no text"
    action = b"/OpenAction << /S /Launch /F (/usr/bin/touch) /P (%s) >> >>" % os.fsencode(canary)
    yield "launch.pdf", pdf(_CATALOGUE[:-2] + action, _ONE_PAGE, _PAGE, stream(_WORDS)), None
    yield "brackets.pdf", pdf(_CATALOGUE, b"[" * _DEEP), "PDF"
    writer = pypdf.PdfWriter()
    writer.add_blank_page(9, 9)
    writer.encrypt("secret", algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)
    yield "encrypted.pdf", target.getvalue(), "encrypted"
