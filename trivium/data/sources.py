"""What there is to read: the sources as the user named them become documents at hand and parts of files."""

import sys
from collections.abc import Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import cast

from trivium.data import python_sources
from trivium.data.documents import Document
from trivium.data.embedded import ORIGIN, PACKAGES, embedded_documents, embedded_entries
from trivium.data.funnel import Funnel
from trivium.data.readers import HARMLESS, Part, ReadOptions, list_parts, spool_stdin
from trivium.errors import DataError

STDIN = "-"


def listed(
    sources: Sequence[str], reading: ReadOptions, given: Path, funnel: Funnel, *, skip_unreadable: bool
) -> tuple[list[Document], list[Part]]:
    """Documents that are at hand, and the parts to read; ``funnel`` is told of what is passed over already.

    Args:
        sources: files, folders, archives, ``hub:owner/name``, ``-`` for standard input, ``embedded``, ``code``, or a
            part of these.
        reading: how they will be read.
        given: a folder for what comes through standard input.
        funnel: is told.
        skip_unreadable: pass over what cannot be read, instead of stopping.

    Raises:
        DataError: a source that is missing or cannot be read.
    """
    documents: list[Document] = []
    parts: list[Part] = []
    for source in sources:
        name, _, packages = source.partition(":")
        try:
            if name == ORIGIN and not Path(source).exists():
                documents.extend(embedded_documents(embedded_entries(_packages(packages))))
                continue
            if name == python_sources.ORIGIN and not Path(source).exists():
                documents.extend(python_sources.source_documents(packages.split(",") if packages else PACKAGES))
                continue
            path = str(spool_stdin(cast(BufferedIOBase, sys.stdin.buffer), given)) if source == STDIN else source
            for found in list_parts(path, reading, origin=source):
                if isinstance(found, Part):
                    parts.append(found)
                elif skip_unreadable or found.reason in HARMLESS:
                    funnel.pass_over(found.name, found.reason, source)
                else:
                    raise found.error(f"{source}/{found.name}")
        except OSError as error:
            raise DataError(
                "a source cannot be read",
                received=f"{error.filename or source}: {error.strerror or error}",
                fix="check the path and its permissions",
            ) from error
    return documents, parts


def _packages(names: str) -> tuple[str, ...]:
    chosen = tuple(names.split(",")) if names else PACKAGES
    unknown = [name for name in chosen if name not in PACKAGES]
    if unknown:
        raise DataError(
            "the embedded corpus has no such part",
            received=", ".join(unknown),
            expected=f"one or more of {', '.join(PACKAGES)}",
            fix=f"use {ORIGIN}, or {ORIGIN}:python",
        )
    return chosen
