"""Documents and arrays between two steps of the pipeline: files that are there whole or not at all.

A step may be killed while it writes, and be begun again while a worker of the killed one still runs: each writes under
a name of its own and renames at the end. What two of them write is the same, so it does not matter whose is last.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from trivium.data.documents import Document
from trivium.errors import StorageError
from trivium.runtime import atomic

_NAME = "array"


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """One JSON object a line. Lone surrogates, which JSON files can spell, are kept as they are."""
    with _whole(path) as partial, partial.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        for document in documents:
            file.write(json.dumps(asdict(document), ensure_ascii=False) + "\n")


def read_documents(path: Path) -> Iterator[Document]:
    """What `write_documents` wrote, one at a time."""
    with path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        for line in file:
            yield Document(**json.loads(line))


def write_array(path: Path, array: np.ndarray) -> None:
    """An array of numbers."""
    with _whole(path) as partial:
        partial.write_bytes(save({_NAME: np.ascontiguousarray(array)}))


def read_array(path: Path) -> np.ndarray:
    """What `write_array` wrote."""
    return load_file(path)[_NAME]


def write_json(path: Path, value: Any) -> None:
    """One JSON value."""
    with _whole(path) as partial:
        partial.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8", errors="surrogatepass")


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        atomic.rename(partial, path)
    except OSError as error:
        raise StorageError(
            "the data cannot be written",
            received=f"{error.filename or path}: {error.strerror or error}",
            expected="a place with enough space and write permission",
            fix="free some space or choose another --output",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
