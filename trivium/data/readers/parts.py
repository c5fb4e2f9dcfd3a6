"""What the readers are asked for and what they answer: a part of a source, how to read it, what was passed over."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from trivium.errors import DataError, Unsupported

EMPTY = "the file is empty"
OTHER_KIND = "this kind of file is not read"
LEADS_OUT = "the link leads out of the folder"
READ_WHERE_IT_LIES = "the link leads to what is read where it lies"
HIDDEN_FOLDER = "the link leads to a hidden folder"
HARMLESS = frozenset({EMPTY, OTHER_KIND, READ_WHERE_IT_LIES})
"""Reasons that are no fault of a folder or an archive: nothing in it is lost."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a hostile file may cost. The defaults leave room for every honest file known to us."""

    max_file_bytes: int = 256 << 20
    """A text file, which is held in memory whole."""
    max_parsed_bytes: int = 64 << 20
    """An HTML page, a PDF or a table inside an archive: parsed, they take many times their size."""
    max_record_bytes: int = 16 << 20
    """A line of JSON, a row of a table."""
    max_expanded_bytes: int = 16 << 30
    """All that comes out of one compressed file or archive."""
    max_ratio: int = 100
    """How many times larger than the compressed bytes. Text is 3 to 20 times, a bomb of zeros 1,000 times."""
    max_members: int = 100_000
    """Members of an archive."""
    max_pages: int = 10_000
    """Pages of a PDF."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How sources are read."""

    encoding: str = "utf-8"
    """Encoding of text files and tables; a byte order mark or the declaration of an HTML page goes before it."""
    text_field: str = "text"
    """Field or column that holds the text of a record."""
    id_field: str = "id"
    """Field that names a record; where there is none, the file and the line do."""
    group_field: str = "group"
    """Field of what is to be split as a whole."""
    licence_field: str = "licence"
    """Field of the licence; "license" is read as well."""
    label_field: str = "label"
    """Field of the label, for balancing."""
    language_field: str = "language"
    """Field of the language."""
    licence: str | None = None
    """SPDX expression to assume where a source states none."""
    limits: Limits = field(default_factory=Limits)
    """What a hostile file may cost."""

    def __post_init__(self) -> None:
        try:
            b"x".decode(self.encoding, "replace")
        except LookupError as error:
            raise DataError(
                "there is no such encoding",
                received=self.encoding,
                expected="a name such as utf-8 or cp1252",
                fix="correct it",
            ) from error


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file, or a piece of a large one: what one worker reads at a time. It survives JSON."""

    path: str
    """The file; a string, because a name need not be valid Unicode (`os.fsdecode`)."""
    name: str
    """The file relative to its source, printable: what the ids of its documents begin with."""
    source: str
    """The source, as the user named it."""
    num_bytes: int
    """Size, to share the work out by."""
    start: int = 0
    """First byte of this part; of a Parquet file, its first row group."""
    end: int | None = None
    """Byte after the last, or row group after the last; None: to the end."""
    first_line: int = 1
    """Number of the first line, or row, of this part, from 1."""
    licence: str | None = None
    """What the README.md of its folder states."""
    is_named: bool = False
    """The user named this very file: if it cannot be used, that is an error."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Part":
        """What `to_json` gave."""
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """A file or a record that gives no document, and why."""

    name: str
    """The file relative to its source; of a record, with its line: ``a.jsonl:7``."""
    reason: str
    """Why, in words that are the same for all such files, so that they can be counted."""
    num_bytes: int = 0
    """Its size, where it is known."""
    detail: str = ""
    """What was seen, and where."""
    fix: str | None = None
    """What the user can do."""
    hint: str | None = None
    """What would have been read."""

    @classmethod
    def because(cls, error: DataError | Unsupported, *, name: str, num_bytes: int = 0) -> "PassedOver":
        """The error as a finding, for those who go on."""
        detail = "" if error.received is None else str(error.received)
        hint = None if error.expected is None else str(error.expected)
        return cls(name=name, reason=error.what, num_bytes=num_bytes, detail=detail, fix=error.fix, hint=hint)

    def error(self, place: str) -> DataError:
        """The finding as an error, for those who stop; ``place`` is what the user knows ``name`` as."""
        received = f"{place}: {self.detail}" if self.detail else place
        return DataError(self.reason, received=received, expected=self.hint, fix=self.fix)

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


def printable(name: str) -> str:
    r"""A name of a file that is safe to print and to write as UTF-8: what is not printable becomes ``\n``, ``\udcff``.

    A name may hold line ends, escapes for the terminal, and bytes that are no UTF-8.
    """
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in name
    )


def missing(package: str, what: str) -> Unsupported:
    """The error for an optional package that is not installed."""
    return Unsupported(
        f"{what} needs a package that is not installed",
        received=f"no {package}",
        fix='pip install "trivium-lm[data]"',
    )
