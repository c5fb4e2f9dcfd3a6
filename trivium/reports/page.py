"""One HTML file that holds everything: style, drawings, and the library that draws them, once.

The file forbids itself every request (its Content-Security-Policy allows only what is inside it), so it can be kept,
mailed and opened anywhere, and tells nobody that it was.
"""

import dataclasses
import functools
import html
import pathlib
import re
from collections.abc import Sequence

from trivium.checkpoints.folder import replace_file
from trivium.errors import StorageError

_HERE = pathlib.Path(__file__).parent
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands under it."""

    title: str
    """Plain text."""
    body: str
    """HTML, already escaped."""

    @property
    def anchor(self) -> str:
        """What a link to the section says after the #."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A report from top to bottom."""

    title: str
    """Plain text."""
    head: str
    """HTML between the title and the first section."""
    sections: Sequence[Section]
    foot: str
    """HTML of the last line."""


def render(page: Page) -> str:
    """The whole file."""
    links = "".join(f'<a href="#{s.anchor}">{html.escape(s.title)}</a>' for s in page.sections)
    sections = "".join(
        f'<section id="{s.anchor}"><h2>{html.escape(s.title)}</h2>{s.body}</section>' for s in page.sections
    )
    title = html.escape(page.title)
    return "\n".join(
        (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{_asset('style.css')}</style></head><body>",
            f"<header><h1>{title}</h1>{page.head}<nav>{links}</nav></header>",
            f"<main>{sections}</main><footer>{page.foot}</footer>",
            # The library that draws is fifty times the rest: a page without drawings goes without it.
            f"<script>{_plotly()}</script><script>{_asset('charts.js')}</script>"
            if 'class="chart"' in sections
            else "",
            "</body></html>",
        )
    )


def write(page: Page, path: str | pathlib.Path) -> None:
    """Writes the file; one that is there stays until the new one is whole. Raises `StorageError`."""
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, render(page).encode("utf-8", "replace"))
    except OSError as error:
        raise StorageError("the report cannot be written", received=f"{path} ({error.strerror})") from error


@functools.cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@functools.cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # imported only where it is needed: it takes half a second

    script = get_plotlyjs()
    assert "</script" not in script.lower(), "the library would end its own element"
    return script
