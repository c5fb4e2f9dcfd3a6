"""Where prepared data comes from, and what a model says of the data it was trained on.

A prepared folder tells its sources with licence and hash in `manifest.json`, and what became of each document in
`documents.jsonl`: one line a stored document, in the order of the shards.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivium.data.balance import Balance, Size
from trivium.data.prepared import DOCUMENTS, Prepared, untold
from trivium.data.shards import TokenStore
from trivium.errors import DataError, StorageError


@dataclass(frozen=True, kw_only=True)
class StoredDocument:
    """A line of `documents.jsonl`."""

    side: str
    """"train" or "validation"."""
    index: int
    """Its place in the `TokenStore` of that side."""
    ids: tuple[str, ...]
    """The ids of the documents joined in it: one, unless documents were joined by group."""
    source: str | None
    """The source it was read from."""
    licence: str | None
    """SPDX identifier, where it is known."""
    sha256: str
    """Of its text."""
    group: str | None = None
    """The group it was split by; data of an earlier version does not tell."""
    language: str | None = None
    """Its language, where it is known."""
    label: str | None = None
    """Its label, where it has one."""
    line: str = ""
    """The line as it stands in the file."""


def stored_documents(folder: Path) -> Iterator[StoredDocument]:
    """Every document of a prepared folder, one at a time.

    Raises:
        StorageError: the folder has no such file: it was prepared by an earlier version.
        DataError: a line cannot be read.
    """
    path = folder / DOCUMENTS
    try:
        file = path.open(encoding="utf-8")
    except OSError as error:
        raise untold(path, error) from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                yield _stored(json.loads(line), line)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(
                    "the prepared data is damaged",
                    received=f"{path}, line {number}",
                    fix="prepare it again, or copy the folder again from where it was made",
                ) from error


def balance_of(folder: Path, train: TokenStore) -> Balance:
    """How much there is to train on in each language, from each source, under each label and in each group.

    A document that a mixture repeats counts as often as it is there. Raises what `stored_documents` raises.
    """
    balance = Balance()
    for document in stored_documents(folder):
        if document.side == "train":
            first, last = train.boundaries[document.index : document.index + 2].tolist()
            size = Size(
                documents=len(document.ids),
                bytes=int(train.document_bytes[document.index]),
                tokens=last - first,
            )
            balance.add(vars(document), size)
    return balance


def data_facts(prepared: Prepared) -> dict[str, str]:
    """What `trivium.json` says of the data that a model was trained on."""
    return {"data": str(prepared.folder), "data_fingerprint": prepared.fingerprint}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content. Raises `StorageError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError("the file cannot be read", received=f"{path}: {error.strerror}") from error


def content_sha256(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder. Raises `StorageError`."""
    if not path.is_dir():
        return file_sha256(path)
    digest = hashlib.sha256()
    for inner in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(
            f"{inner.relative_to(path).as_posix()}\n{file_sha256(inner)}\n".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()


def tokenizer_sha256(folder: Path) -> str | None:
    """SHA-256 of the vocabulary's file, in prepared data or a model's folder; None where there is none."""
    path = folder / "tokenizer.json"
    return file_sha256(path) if path.is_file() else None


def text_sha256(text: str) -> str:
    """SHA-256 of a text or an id as UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _stored(fields: dict[str, Any], line: str) -> StoredDocument:
    ids = fields["ids"]
    if not isinstance(ids, list) or fields["side"] not in ("train", "validation") or type(fields["index"]) is not int:
        raise ValueError("not a stored document")
    return StoredDocument(
        side=fields["side"],
        index=fields["index"],
        ids=tuple(map(str, ids)),
        source=fields.get("source"),
        licence=fields.get("licence"),
        sha256=fields["sha256"],
        group=fields.get("group"),
        language=fields.get("language"),
        label=fields.get("label"),
        line=line,
    )
