"""Remove documents that say exactly what an earlier one said."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from trivium.data.documents import Document


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """A removed document and the earlier one it repeats."""

    document: Document
    """What was removed."""
    of: str
    """The id of what was kept."""


def remove_duplicates(documents: Iterable[Document]) -> tuple[list[Document], list[Duplicate]]:
    """The first of each set of equal documents, and the others. Case and white space make no difference."""
    kept: list[Document] = []
    removed: list[Duplicate] = []
    first_with: dict[bytes, str] = {}
    for document in documents:
        digest = _digest(document.text)
        if digest in first_with:
            removed.append(Duplicate(document=document, of=first_with[digest]))
        else:
            first_with[digest] = document.id
            kept.append(document)
    return kept, removed


def _digest(text: str) -> bytes:
    return hashlib.blake2b(" ".join(text.casefold().split()).encode(), digest_size=16).digest()
