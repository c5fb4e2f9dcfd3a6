"""The texts that a filter learns from: pages of good text, or texts with labels; and an account of what was read."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from trivium.data.cleaning import clean
from trivium.data.documents import Document
from trivium.data.licences import UNKNOWN
from trivium.data.readers import HARMLESS, Part, PassedOver, ReadOptions, list_parts, read_part
from trivium.errors import DataError

PAGE_CHARACTERS = 2_500
"""Long documents are cut into pages of about so many."""
_MOST_LABELS = 50
_TOLD = 8


class Heard:
    """What was read of each source, for the report: counts, licences, and a hash over the texts."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._hashes: dict[str, Any] = {}
        self.passed_over: Counter[str] = Counter()

    def add(self, source: str, document: Document) -> None:
        row = self._rows.setdefault(source, {"documents": 0, "characters": 0, "licences": Counter()})
        row["documents"] += 1
        row["characters"] += len(document.text)
        row["licences"][document.licence or UNKNOWN] += 1
        self._hashes.setdefault(source, hashlib.sha256()).update(bytes.fromhex(document.hash))

    def sources(self) -> dict[str, dict[str, Any]]:
        return {
            name: {**row, "licences": dict(row["licences"]), "sha256": self._hashes[name].hexdigest()}
            for name, row in self._rows.items()
        }

    def in_words(self) -> str:
        """What was passed over, to end an error message with."""
        if not self.passed_over:
            return ""
        rows = self.passed_over.most_common(3)
        return "; passed over: " + ", ".join(f"{reason} ({count:,})" for reason, count in rows)


def pages(source: str, reading: ReadOptions, heard: Heard) -> Iterator[tuple[str, str]]:
    """(name, text) of every document, cleaned as `prepare` does; long ones in pages that end where a line or word does.

    So the pages of one book are on both sides, and a model knows the book that it is measured with a little.
    """
    for document in _documents(source, reading, heard):
        text = clean(document.text)
        start = number = 0
        while start < len(text):
            end = start + PAGE_CHARACTERS
            if end + PAGE_CHARACTERS < len(text):
                least = start + PAGE_CHARACTERS // 2
                end = max(text.rfind("\n", least, end), text.rfind(" ", least, end)) + 1 or end
            else:
                end = len(text)
            if page := text[start:end].strip():
                yield f"{document.id}#{number}", page
            start, number = end, number + 1


def labelled(
    sources: Sequence[str], reading: ReadOptions, heard: Heard, harmful: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Cleaned texts and their labels.

    Raises:
        DataError: no text has a label, there are too many labels, or none of them is in ``harmful``, or all are.
    """
    found = [(clean(d.text), d.label) for source in sources for d in _documents(source, reading, heard)]
    pairs = [(text, label) for text, label in found if text and label is not None]
    counts = Counter(label for _, label in pairs)
    if not counts:
        raise DataError(
            "no text has a label",
            received=f"{len(found):,} texts without a field `{reading.label_field}`{heard.in_words()}",
            expected="records with a text and a label, as in a .csv or .jsonl file",
            fix="say which fields they are: --reading.text-field NAME --reading.label-field NAME",
        )
    told = ", ".join(f"{label[:40]} ({count:,})" for label, count in counts.most_common(_TOLD))
    if len(counts) > _MOST_LABELS:
        raise DataError(
            "there are too many labels for a classifier",
            received=f"{len(counts):,} different values of `{reading.label_field}`: {told} ...",
            expected=f"at most {_MOST_LABELS}",
            fix="say which field is the label: --reading.label-field NAME",
        )
    if not counts.keys() & set(harmful) or not counts.keys() - set(harmful):
        raise DataError(
            "the labels do not tell harmful text from harmless",
            received=told,
            expected=f"{' or '.join(harmful)}, and others",
            fix="say which labels are harmful: --harmful LABEL ...",
        )
    return [text for text, _ in pairs], [label for _, label in pairs]


def _documents(source: str, reading: ReadOptions, heard: Heard) -> Iterator[Document]:
    """The documents of a source. Raises `DataError` where it is missing, or a named file that cannot be read."""
    for part in list_parts(source, reading):
        for found in [part] if isinstance(part, PassedOver) else read_part(part, reading):
            if isinstance(found, Document):
                heard.add(source, found)
                yield found
            elif isinstance(part, Part) and part.is_named and found.name == part.name and found.reason not in HARMLESS:
                raise found.error(source)
            else:
                heard.passed_over[found.reason] += 1
