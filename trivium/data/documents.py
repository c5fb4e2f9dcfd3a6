"""Documents: the unit of text from its source to its shard, and how files become documents."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trivium.errors import DataError

TEXT_SUFFIXES = (".txt", ".md", ".rst")
CODE_SUFFIXES = (".py", ".c", ".h", ".cpp", ".cc", ".cu", ".java", ".js", ".ts", ".go", ".rs", ".sh", ".toml", ".yaml")
RECORD_SUFFIX = ".jsonl"
_READ = (*TEXT_SUFFIXES, *CODE_SUFFIXES, RECORD_SUFFIX)
_LOOKED_AT_BYTES = 8192


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text and where it comes from."""

    id: str
    """Unique within its source: a path, a path and line, a qualified name."""
    text: str
    """The text itself."""
    origin: str
    """The source that it was read from, as the user named it."""
    kind: str
    """"text", "code", "record", "reference" or "docstring"."""
    group: str
    """What is split as a whole: a module, a file. No group has documents both in training and in validation."""
    licence: str | None = None
    """SPDX identifier, where it is known."""

    @property
    def hash(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of the text."""
        return len(self.text.encode("utf-8", "surrogatepass"))


@dataclass(kw_only=True)
class Skipped:
    """The files of folders that were passed over, each with the reason."""

    files: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason)."""


def read_documents(
    sources: Sequence[str | Path], *, encoding: str = "utf-8", skip_unreadable: bool = False
) -> tuple[list[Document], Skipped]:
    """The documents of files and folders, in the order of the sources and of the sorted paths inside.

    A folder is read with all its subfolders, except hidden ones; files of other kinds and empty ones are passed over.
    A `.jsonl` file holds one JSON object a line with the field ``text``, and optionally ``id``, ``group`` and
    ``licence``.

    Args:
        sources: files or folders.
        encoding: how the files are encoded; a byte order mark is removed.
        skip_unreadable: pass over the files of a folder that cannot be read, instead of stopping.

    Raises:
        DataError: a source that is missing, empty, binary, unreadable or in another encoding, by name.
    """
    documents: list[Document] = []
    skipped = Skipped()
    for source in map(Path, sources):
        if source.is_dir():
            found = _read_folder(source, encoding, skip_unreadable, skipped)
        else:
            if not source.exists():
                raise DataError("there is no such file or folder", received=source, fix="check the path")
            _check_kind(source)
            found = list(_read_file(source, source.name, str(source), encoding))
        documents.extend(found)
    return documents, skipped


def join_groups(documents: Sequence[Document]) -> list[Document]:
    """One document for each group, in the order in which the groups first come, two blank lines between its parts.

    The parts of a module speak of the same things: read one after the other, each is the context of the next.
    """
    groups: dict[str, list[Document]] = {}
    for document in documents:
        groups.setdefault(document.group, []).append(document)
    return [
        replace(parts[0], id=group, text="\n\n\n".join(part.text for part in parts)) for group, parts in groups.items()
    ]


def _read_folder(folder: Path, encoding: str, skip_unreadable: bool, skipped: Skipped) -> list[Document]:
    documents: list[Document] = []
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() not in _READ:
            skipped.files.append((name, f"kind {path.suffix or 'without suffix'} is not read"))
            continue
        try:
            if _is_empty(path):
                skipped.files.append((name, "empty"))
                continue
            documents.extend(_read_file(path, name, str(folder), encoding))
        except DataError as error:
            if not skip_unreadable:
                raise
            skipped.files.append((name, error.what))
    if not documents:
        raise DataError(
            "the folder holds no text that can be read",
            received=f"{folder}: {len(skipped.files)} files passed over",
            expected=f"files ending in {' '.join(_READ)}",
            fix="point at a folder of text, or convert the files to .txt",
        )
    return documents


def _files_below(folder: Path) -> Iterator[Path]:
    """Files below ``folder`` in a fixed order; hidden ones and links to folders are not followed."""

    def fail(error: OSError) -> None:
        raise _unreadable(Path(error.filename or folder), error) from error

    for place, subfolders, files in os.walk(folder, onerror=fail):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(place) / name


def _check_kind(path: Path) -> None:
    if path.suffix.lower() not in _READ:
        raise DataError(
            "this kind of file is not read",
            received=path,
            expected=f"a folder, or a file ending in {' '.join(_READ)}",
            fix="convert it to .txt, or to .jsonl with a field named text",
        )


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError as error:  # a link that leads nowhere
        raise _unreadable(path, error) from error


def _read_file(path: Path, name: str, origin: str, encoding: str) -> Iterator[Document]:
    text = read_text(path, encoding)
    suffix = path.suffix.lower()
    if suffix == RECORD_SUFFIX:
        yield from _records(path, name, origin, text)
        return
    kind = "code" if suffix in CODE_SUFFIXES else "text"
    yield Document(id=name, text=text, origin=origin, kind=kind, group=name)


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The text of one file.

    Raises:
        DataError: the file is empty, binary, unreadable, or in another encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not content.strip():
        raise DataError("the file is empty", received=path, fix="remove it from the sources")
    if b"\x00" in content[:_LOOKED_AT_BYTES] and not _utf16_mark(content) and "16" not in encoding:
        raise DataError(
            "the file is binary, not text",
            received=f"{path}: a zero byte at offset {content.index(0)}",
            expected=f"text encoded in {encoding}",
            fix="remove it from the sources, or convert it to text",
        )
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the file is not encoded in {encoding}",
            received=f"{path}: byte 0x{content[error.start]:02x} at offset {error.start}",
            expected=f"valid {encoding}",
            fix=f"set encoding to {_likely_encoding(content)}, or convert the file to UTF-8",
        ) from error
    except LookupError as error:
        raise DataError(
            "there is no such encoding", received=encoding, expected="a name such as utf-8 or cp1252", fix="correct it"
        ) from error


def _records(path: Path, name: str, origin: str, text: str) -> Iterator[Document]:
    # Not splitlines(): JSON strings may hold U+2028 and other characters that it takes for line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise _bad_record(path, number, f"not JSON ({error.msg} at column {error.colno})") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets in brackets
            raise _bad_record(path, number, "a number too long or brackets too deep to read") from error
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise _bad_record(path, number, "no field `text` holding a string")
        identifier = f"{name}:{number}"
        yield Document(
            id=str(record.get("id", identifier)),
            text=record["text"],
            origin=origin,
            kind="record",
            group=str(record.get("group", identifier)),
            licence=record.get("licence") if isinstance(record.get("licence"), str) else None,
        )


def _bad_record(path: Path, number: int, reason: str) -> DataError:
    return DataError(
        "a line of the .jsonl file cannot be used",
        received=f"{path}, line {number}: {reason}",
        expected='one JSON object a line, such as {"text": "..."}',
        fix="correct or remove the line",
    )


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        "the file cannot be read",
        received=f"{path}: {error.strerror or error}",
        fix="check its permissions, or remove it from the sources",
    )


def _utf16_mark(content: bytes) -> bool:
    return content[:2] in (b"\xff\xfe", b"\xfe\xff")


def _likely_encoding(content: bytes) -> str:
    if _utf16_mark(content):
        return "utf-16"
    # Windows-1252 leaves five bytes undefined; text that avoids them is nearly always in it.
    undefined = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
    return "latin-1" if undefined & set(content) else "cp1252"
