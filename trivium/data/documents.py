"""Documents: the unit of text from its source to its shard, and how a few small sources are read at once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trivium.errors import DataError


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
    """"text", "code", "record", "html", "pdf", "reference" or "docstring"."""
    group: str
    """What is split as a whole: a module, a file. No group has documents both in training and in validation."""
    licence: str | None = None
    """SPDX expression, where it is known."""
    language: str | None = None
    """Language, where the source states it."""
    label: str | None = None
    """Label, where the source states one: what documents are balanced by."""

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
    """The documents of files, archives and folders, all in memory, in the order of `trivium.data.readers.list_parts`.

    Args:
        sources: files or folders.
        encoding: how the files are encoded, where they do not say so themselves.
        skip_unreadable: pass over what cannot be read in a folder or an archive, instead of stopping. Files of other
            kinds and empty ones are passed over in any case.

    Raises:
        DataError: a source that is missing, holds nothing, or cannot be read, by name.
    """
    # Imported here because the readers make documents: they stand above this module.
    from trivium.data.readers import HARMLESS, PassedOver, ReadOptions, list_parts, printable, read_part, suffixes

    options = ReadOptions(encoding=encoding)
    documents: list[Document] = []
    skipped = Skipped()
    for source in map(Path, sources):
        is_folder = source.is_dir()
        before = len(documents), len(skipped.files)
        for part in list_parts(str(source), options):
            for found in [part] if isinstance(part, PassedOver) else read_part(part, options):
                if isinstance(found, Document):
                    documents.append(found)
                elif (is_folder or found.name != printable(source.name)) and (
                    skip_unreadable or found.reason in HARMLESS
                ):
                    skipped.files.append((found.name, found.reason))
                else:
                    raise found.error(str((source if is_folder else source.parent) / found.name))
        if len(documents) == before[0]:
            raise DataError(
                "the source holds no text that can be read",
                received=f"{source}: {len(skipped.files) - before[1]} files passed over",
                expected=f"files ending in {' '.join(suffixes())}",
                fix="point at a folder of text, or convert the files to .txt",
            )
    return documents, skipped


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The text of one file, expanded where it is compressed (.gz .zst .bz2 .xz).

    Raises:
        DataError: the file is empty, binary, unreadable, damaged, too large, or in another encoding.
    """
    from trivium.data.readers import PassedOver, ReadOptions, compressed, text
    from trivium.data.readers.bounded import read_whole

    limits = ReadOptions(encoding=encoding).limits  # refuses an encoding that there is not
    try:
        if path.suffix not in compressed.SUFFIXES:
            return text.decode(path.read_bytes(), encoding)
        with path.open("rb") as stream:
            return text.decode(
                read_whole(compressed.expanded(stream, path.suffix, limits), limits.max_expanded_bytes), encoding
            )
    except OSError as error:
        raise DataError(
            "the file cannot be read",
            received=f"{path}: {error.strerror or error}",
            fix="check the path" if isinstance(error, FileNotFoundError) else "check its permissions",
        ) from error
    except DataError as error:
        raise PassedOver.because(error, name=path.name).error(str(path)) from error
