"""HTML: the main text of a page, without its frame.

What is dropped: scripts, styles, forms, and the frame of the page (navigation, asides, its header and footer). Blocks
become lines, preformatted text keeps its spaces. Nothing is run and nothing is fetched: the parser (lexbor) builds a
tree and no more. Which block is the content is said by the page itself (``main``, ``article``), not guessed.
"""

import re
from collections import Counter
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any

from trivium.data.documents import Document
from trivium.data.readers.bounded import read_whole
from trivium.data.readers.parts import EMPTY, Part, PassedOver, ReadOptions, missing
from trivium.data.readers.text import marked_encoding, refuse_binary
from trivium.errors import DataError

SUFFIXES = (".html", ".htm", ".xhtml")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DROPPED = _names(
    "script style noscript template nav aside form head iframe object embed svg math canvas audio video button select"
    " textarea input datalist dialog"
)
_FRAME = _names("header footer")  # of the page; inside an article they hold its title and its notes
_CONTENT = _names("main article")
_PARAGRAPHS = _names("p h1 h2 h3 h4 h5 h6 pre blockquote ul ol dl table figure article section main hr details")
_LINES = _names(
    "div li dt dd tr caption figcaption address header footer summary fieldset legend body center tbody thead"
)
_CELLS = _names("td th")
# Elements that the parser never nests in themselves, because the next one closes the last, or that hold nothing.
_NEVER_DEEP = _names(
    "p li dt dd tr td th thead tbody tfoot option optgroup rt rp a nobr button area base br col embed hr img input"
    " link meta param source track wbr html head body"
)
# Codecs of Python that no page is written in; some take quadratic time.
_NOT_FOR_PAGES = _names("idna punycode unicode_escape raw_unicode_escape utf-7 utf7 utf_7 undefined")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_ATTRIBUTES = re.compile(r"<[a-zA-Z][^>]*+")
_QUOTED = re.compile(r"\"[^\"]*+\"|'[^']*+'")
_SEPARATORS = re.compile(r"[\s/]+")
# The parser takes quadratic time in both: measured 0.1 s at these limits, 10 s at 100,000.
_MOST_DEPTH = 5_000
_MOST_ATTRIBUTES = 10_000
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([a-zA-Z0-9_:.-]{1,40})", re.IGNORECASE)
_LOOKED_AT_BYTES = 8192
_MOST_UNDECODED = 1e-3


def read(stream: BufferedIOBase, part: Part, options: ReadOptions) -> Iterator[Document | PassedOver]:
    """One document: the page. Raises `DataError` where it has no text, or would take the parser too long."""
    content = read_whole(stream, options.limits.max_parsed_bytes)
    text = main_text(_parsed(content, options.encoding))
    if not text:
        raise DataError(EMPTY, received="no text outside of the frame of the page")
    yield Document(
        id=part.name,
        text=text,
        origin=part.source,
        kind="html",
        group=part.name,
        licence=part.licence or options.licence,
    )


def main_text(page: Any) -> str:
    """The text of a parsed page: of ``main``, or of the only ``article``, or of the body.

    The title of the page comes first where it has no heading of its own.
    """
    candidates = page.css("main") or page.css("article")
    chosen = candidates[0] if len(candidates) == 1 else page.body
    text = _text_below(chosen) if chosen is not None else ""
    if not text and page.body is not None:
        text = _text_below(page.body)
    title = page.css_first("head > title")
    if text and title is not None and page.css_first("h1") is None:
        heading = " ".join(title.text().split())
        if heading and not text.startswith(heading):
            text = f"{heading}\n\n{text}"
    return text


def _parsed(content: bytes, encoding: str) -> Any:
    try:
        from selectolax.lexbor import LexborHTMLParser, SelectolaxError
    except ImportError as error:
        raise missing("selectolax", "an HTML page") from error
    if not content.strip():
        raise DataError(EMPTY, fix="remove it from the sources")
    if not marked_encoding(content, encoding)[0]:
        refuse_binary(content[:_LOOKED_AT_BYTES], encoding)
    text = _decoded(content, encoding)
    _refuse_costly(text)
    try:
        return LexborHTMLParser(text)
    except (SelectolaxError, ValueError, UnicodeError) as error:
        raise DataError("the page cannot be parsed", received=str(error)[:200]) from error


def _decoded(content: bytes, encoding: str) -> str:
    """By the byte order mark, by what the page declares, or by ``encoding``, in this order.

    A web page is often cut or pasted together in the middle of a character: a few are replaced.
    """
    mark, marked = marked_encoding(content, "")
    encoding = marked or _declared(content) or encoding
    text = content[mark:].decode(encoding, "replace")
    undecoded = text.count("\N{REPLACEMENT CHARACTER}")
    if undecoded > _MOST_UNDECODED * len(text):
        raise DataError(
            f"the file is not encoded in {encoding}",
            received=f"{undecoded:,} of {len(text):,} characters",
            fix="set encoding to that of the page, or convert the file to UTF-8",
        )
    return text


def _declared(content: bytes) -> str | None:
    """The ``<meta charset>`` of the first 1024 bytes, where the HTML standard (13.2.3.2) looks for it."""
    match = _CHARSET.search(content, 0, 1024)
    if match is None:
        return None
    name = match[1].decode("ascii").lower()
    # The standard has browsers read these two so; UTF-16 cannot be true of a page whose <meta> is readable.
    name = {"iso-8859-1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252", "gb2312": "gb18030"}.get(name, name)
    try:
        b"x".decode(name, "replace")
    except LookupError:
        return None
    return None if "16" in name or "32" in name or name in _NOT_FOR_PAGES else name


def _refuse_costly(text: str) -> None:
    if text.count("<") > _MOST_DEPTH and _is_deep(text):
        raise DataError("the page cannot be parsed", received=f"elements nested more than {_MOST_DEPTH:,} deep")
    for match in _ATTRIBUTES.finditer(text):
        if match.end() - match.start() > 2 * _MOST_ATTRIBUTES:
            separators = len(_SEPARATORS.findall(_QUOTED.sub(" ", match[0])))
            if separators > _MOST_ATTRIBUTES:
                raise DataError("the page cannot be parsed", received=f"a tag of {separators:,} attributes")


def _is_deep(text: str) -> bool:
    """An estimate: a tag closes the last open one of its name."""
    open_now: Counter[str] = Counter()
    depth = 0
    for match in _TAG.finditer(text):
        name = match[2].lower()
        if name in _NEVER_DEEP:
            continue
        if not match[1]:
            open_now[name] += 1
            depth += 1
            if depth > _MOST_DEPTH:
                return True
        elif open_now[name]:
            open_now[name] -= 1
            depth -= 1
    return False


def _text_below(root: Any) -> str:
    """The text of an element. Without recursion: the tree may be deeper than Python's stack."""
    lines = _Lines()
    open_now: list[tuple[Any, str]] = []
    articles = 0
    node = root
    while True:
        tag = node.tag or ""
        if node.is_text_node:
            lines.add(node.text_content or "")
        elif tag not in _DROPPED and (articles or tag not in _FRAME):
            lines.open(tag)
            child = node.first_child
            if child is not None:
                open_now.append((node, tag))
                articles += tag in _CONTENT
                node = child
                continue
            lines.close(tag)
        # Nodes are never compared: that would compare all the text below them.
        following = node.next
        while open_now and following is None:
            node, tag = open_now.pop()
            articles -= tag in _CONTENT
            lines.close(tag)
            following = node.next
        if not open_now:
            return str(lines)
        node = following


class _Lines:
    """Text as it comes, with its white space as a browser lays it out."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._breaks = 0
        self._space = False
        self._preformatted = 0

    def open(self, tag: str) -> None:
        self._break(tag)
        self._preformatted += tag == "pre"
        if tag == "br":
            self._breaks = min(2, self._breaks + 1)

    def close(self, tag: str) -> None:
        self._break(tag)
        self._preformatted -= tag == "pre"
        self._space = self._space or tag in _CELLS

    def add(self, text: str) -> None:
        words = text.split()
        if self._preformatted:
            if words or not self._breaks:  # coloured code has its line ends between the elements
                self._write(text.lstrip("\n") if self._breaks else text, " " if self._space else "")
            return
        if words:
            self._write(" ".join(words), " " if self._space or text[0].isspace() else "")
        self._space = (self._space and not words) or text[-1:].isspace()

    def __str__(self) -> str:
        return "".join(self._pieces).rstrip()

    def _break(self, tag: str) -> None:
        wanted = 2 if tag in _PARAGRAPHS else int(tag in _LINES)
        self._breaks = max(self._breaks, wanted)

    def _write(self, text: str, space: str) -> None:
        if self._pieces and self._breaks:
            self._pieces[-1] = self._pieces[-1].rstrip("\n")
        if self._pieces:
            self._pieces.append("\n" * self._breaks or space)
        self._pieces.append(text)
        self._breaks, self._space = 0, False
