"""Texts to embed: alone, or with another that belongs to each, and perhaps with one that does not.

groups = read_sentences(Path("sentences.txt"))                                  # one text a line
groups = read_sentences(Path("questions.jsonl"), text_field="question", second_field="answer")
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trivium.data.documents import read_text
from trivium.data.rows import FORMS, Row, is_of_rows, read_rows
from trivium.errors import DataError

TEXT_FIELDS = ("text", "sentence", "sentence1")
"""Where the text of a record is looked for when no field is named."""


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """A text, and what it is to be near to and far from."""

    text: str
    """The text."""
    second: str | None = None
    """One that belongs to it; None where texts stand alone."""
    negative: str | None = None
    """One that seems to belong to it and does not."""


def read_sentences(
    path: Path,
    *,
    text_field: str | None = None,
    second_field: str | None = None,
    negative_field: str | None = None,
    encoding: str = "utf-8",
) -> list[Sentences]:
    """The texts of a file in their order: the lines of a text, or the records of any form that `read_rows` reads.

    Args:
        path: the file.
        text_field: field or column of the text; None: the first of `TEXT_FIELDS` that a record has.
        second_field: of the text that belongs to it; None: texts stand alone.
        negative_field: of the text that does not; None: there is none.
        encoding: of the file, where it does not say so itself.

    Raises:
        DataError: what cannot be read, with its line; fields of a file that has none; no texts.
    """
    if is_of_rows(path):
        fields = (text_field, second_field, negative_field)
        found = [_of_row(row, fields) for row in read_rows(path, encoding=encoding)]
    elif any(field is not None for field in (text_field, second_field, negative_field)):
        raise DataError("a text has no fields", received=path, expected=FORMS)
    else:
        lines = (line.strip() for line in read_text(path, encoding).split("\n"))
        found = [Sentences(text=line) for line in lines if line]
    if not found:
        raise DataError("there are no texts", received=path, expected=f"one text a line, or {FORMS}")
    return found


def _of_row(row: Row, fields: Sequence[str | None]) -> Sentences:
    first, second, negative = fields
    first = first or next((name for name in TEXT_FIELDS if name in row.fields), TEXT_FIELDS[0])
    return Sentences(
        text=row.text(first),
        second=None if second is None else row.text(second),
        negative=None if negative is None else row.text(negative),
    )
