"""What `trivium prepare` leaves behind, opened again: shards, vocabulary, manifest.

prepared = open_prepared("data/mine")
prepared.train, prepared.validation          # TokenStore
prepared.tokenizer
prepared.fingerprint                         # goes into trivium.json of every model trained on it
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivium import tokenizers
from trivium.data.shards import TokenStore, is_shard_file
from trivium.errors import DataError, StorageError, UserError

FORMAT = "trivium-prepared-1"
MANIFEST = "manifest.json"
FUNNEL = "funnel.json"
FUNNEL_PAGE = "funnel.html"
DOCUMENTS = "documents.jsonl"
DOCUMENTS_SHA256 = "documents_sha256"
PASSED_OVER = "passed_over.jsonl"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A prepared folder."""

    folder: Path
    """Where it lies."""
    manifest: dict[str, Any]
    """The content of manifest.json."""
    tokenizer: tokenizers.Tokenizer
    """The vocabulary that the shards are written in."""
    train: TokenStore
    """To train on."""
    validation: TokenStore
    """To measure with."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the shards, the vocabulary, and where the documents come from."""
        return self.manifest["fingerprint"]

    @property
    def funnel(self) -> list[dict[str, Any]]:
        """What each step removed, with examples."""
        return json.loads((self.folder / FUNNEL).read_text(encoding="utf-8"))

    def texts(self, side: str) -> Iterator[str]:
        """The documents of "train" or "validation" as text, without special tokens."""
        store = {"train": self.train, "validation": self.validation}[side]
        for index in range(store.num_documents):
            yield self.tokenizer.decode(store.document(index).tolist())


def open_prepared(folder: str | Path, *, verify: bool = True) -> Prepared:
    """Open a folder that `prepare` wrote. With ``verify``, every file is compared with its SHA-256.

    Raises:
        StorageError: there is no prepared data in the folder.
        DataError: a file is missing, truncated or altered.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    train, validation = (TokenStore.open(folder / side, verify=verify) for side in ("train", "validation"))
    tokenizer = tokenizers.load(folder)
    documents = manifest.get(DOCUMENTS_SHA256)
    if verify and documents is not None and documents != documents_sha256(folder):
        raise _altered(folder / DOCUMENTS, "its SHA-256 is not that of the manifest")
    if fingerprint(tokenizer, train, validation, documents) != manifest["fingerprint"]:
        raise _altered(folder, "the shards or the vocabulary are not those of the manifest")
    return Prepared(folder=folder, manifest=manifest, tokenizer=tokenizer, train=train, validation=validation)


def fingerprint(
    tokenizer: tokenizers.Tokenizer, train: TokenStore, validation: TokenStore, documents: str | None
) -> str:
    """One number for all the data a model was trained and measured on.

    ``documents`` is the `documents_sha256` of the folder; None for data of a version that did not write it down.
    """
    parts = [tokenizer.files()["tokenizer.json"], train.fingerprint, validation.fingerprint]
    return hashlib.sha256("\n".join([*parts, *([documents] if documents else [])]).encode()).hexdigest()


def documents_sha256(folder: Path) -> str:
    """SHA-256 of the file that says where the documents of a prepared folder come from. Raises `StorageError`."""
    try:
        with (folder / DOCUMENTS).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise untold(folder / DOCUMENTS, error) from error


def untold(path: Path, error: OSError) -> StorageError:
    """The error for prepared data whose documents cannot be told."""
    return StorageError(
        "this data does not tell which documents are in it",
        received=f"{path}: {error.strerror}",
        fix="prepare it again with this version",
    )


def forgotten_in(folder: Path) -> list[dict[str, Any]]:
    """What `trivium.data.forget` wrote down in the folder; nothing where no prepared data is."""
    try:
        return list(_read_manifest(folder).get("forgotten", ()))
    except UserError:
        return []


def foreign_files(folder: Path) -> list[str]:
    """The files below ``folder`` that `prepare` did not write: every one, where the manifest is not one of its."""
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    try:
        _read_manifest(folder)
    except UserError:
        return files
    return [name for name in files if not _is_written_name(name)]


def _is_written_name(name: str) -> bool:
    side, _, file = name.rpartition("/")
    if side:
        return side in ("train", "validation") and is_shard_file(file)
    return file in (MANIFEST, FUNNEL, FUNNEL_PAGE, DOCUMENTS, PASSED_OVER, "tokenizer.json", "tokenizer_config.json")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StorageError(
            "there is no prepared data here",
            received=folder,
            expected=f"a folder with {MANIFEST}",
            fix=f"make it with `trivium prepare SOURCE --output {folder}`",
        ) from error
    except OSError as error:
        raise StorageError("the prepared data cannot be read", received=f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8
        raise _altered(path, "not JSON") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _altered(path, "not a manifest of this format")
    if not all(isinstance(manifest.get(key), str) for key in ("fingerprint", "split")):
        raise _altered(path, "no fingerprint or no split")
    return manifest


def _altered(path: Path, reason: str) -> DataError:
    return DataError(
        "the prepared data is damaged",
        received=f"{path}: {reason}",
        fix="prepare it again, or copy the folder again from where it was made",
    )
