"""Standard input as a source: kept in a file, so that it can be read in parts, and again after an interruption."""

import json
import re
import shutil
from io import BufferedIOBase
from pathlib import Path

from trivium.errors import DataError, StorageError

_LOOKED_AT_BYTES = 1 << 16
_ARRAY = re.compile(rb'(?:\xef\xbb\xbf)?\s*+\[\s*+\{\s*+"')


def spool_stdin(stream: BufferedIOBase, folder: Path) -> Path:
    """Writes all of ``stream`` to a file in ``folder``: JSON to stdin.jsonl or stdin.json, text to stdin.txt.

    It is taken for lines of JSON where its first line is an object, and for a JSON array where an object follows its
    first bracket.

    Raises:
        DataError: there is nothing to read.
        StorageError: the file cannot be written.
    """
    head = stream.read(_LOOKED_AT_BYTES)
    if not head:
        raise DataError("standard input is empty", fix="pipe text or lines of JSON in, or name a file")
    path = folder / f"stdin.{'jsonl' if _is_json(head) else 'json' if _ARRAY.match(head) else 'txt'}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(head)
            shutil.copyfileobj(stream, file, 1 << 20)
    except OSError as error:
        raise StorageError(
            "standard input cannot be kept",
            received=f"{path}: {error.strerror or error}",
            fix="free some space or choose another --output",
        ) from error
    return path


def _is_json(head: bytes) -> bool:
    first, end, _ = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    if not end and len(head) >= _LOOKED_AT_BYTES:
        return first.startswith((b'{"', b'{ "'))  # a first line that is longer than what was looked at
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False
