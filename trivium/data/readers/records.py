"""A record of fields (a line of JSON, a row of a table) as a document."""

from collections.abc import Mapping
from typing import Any

from trivium.data.documents import Document
from trivium.data.licences import as_stated
from trivium.data.readers.parts import Part, PassedOver, ReadOptions

# Identifiers are kept for every document of a corpus; nobody names a record with a page of text.
_MOST_CHARACTERS = 512


def document_of(
    record: Mapping[str, Any], number: int, part: Part, options: ReadOptions, size: int
) -> Document | PassedOver:
    """The record at line or row ``number``, ``size`` bytes in its file."""
    identifier = f"{part.name}:{number}"
    text = record.get(options.text_field)
    if not isinstance(text, str):
        return PassedOver(
            name=identifier,
            reason=f"no field `{options.text_field}` holding a string",
            num_bytes=size,
            detail=f"fields: {', '.join(str(key)[:40] for key in list(record)[:10])}",
            fix="set text_field to the field that holds the text",
        )
    stated = _word(record, options.licence_field) or _word(record, "license")
    return Document(
        id=_word(record, options.id_field) or identifier,
        text=text,
        origin=part.source,
        kind="record",
        group=_word(record, options.group_field) or identifier,
        licence=as_stated(stated) if stated else part.licence or options.licence,
        language=_word(record, options.language_field),
        label=_word(record, options.label_field),
    )


def _word(record: Mapping[str, Any], field: str) -> str | None:
    """A short string or a number in a field; anything else counts as absent."""
    value = record.get(field)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    word = value if isinstance(value, str) else _number(value)
    return word if 0 < len(word) <= _MOST_CHARACTERS else None


def _number(value: float) -> str:
    # Python refuses to print whole numbers of thousands of digits: 0 characters counts as absent.
    return str(value) if abs(value) < 1e300 else ""
