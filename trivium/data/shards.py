"""Token ids on disk: memory-mapped, checked when opened, written whole or not at all.

A folder holds

    shards.json          what is in it: number type, vocabulary size, counts, and the size and SHA-256 of every file
    documents.bin        int64 [documents, 2]: tokens and UTF-8 bytes of text of each document
    tokens-00000.bin     ids one after another, uint16 where the vocabulary fits and uint32 otherwise; little-endian
    tokens-00001.bin     ...

No document is cut by the end of a shard.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trivium.data.staging import staged_folder
from trivium.errors import DataError, StorageError

Ids = Sequence[int] | np.ndarray
"""Token ids of one document."""

FORMAT = "trivium-shards-1"
_HEADER = "shards.json"
_DOCUMENTS = "documents.bin"
_SHARD_TOKENS = 1 << 27
_BUFFERED_TOKENS = 1 << 20  # between two writes: memory does not grow with the shard


class TokenStore:
    """A sequence of documents as token ids, wherever they lie.

    Positions count the tokens of all documents from 0; document i holds positions ``boundaries[i]`` to
    ``boundaries[i + 1]``.
    """

    def __init__(
        self,
        shards: Sequence[np.ndarray],
        document_tokens: np.ndarray,
        document_bytes: np.ndarray,
        *,
        vocabulary_size: int,
        fingerprint: str,
    ):
        """``shards`` are one-dimensional id arrays; together they hold ``sum(document_tokens)`` ids."""
        self._shards = list(shards)
        self._shard_starts = np.concatenate([[0], np.cumsum([len(shard) for shard in shards], dtype=np.int64)])
        self.boundaries = np.concatenate([[0], np.cumsum(document_tokens, dtype=np.int64)])
        self.document_bytes = document_bytes
        self.vocabulary_size = vocabulary_size
        self.fingerprint = fingerprint
        assert self._shard_starts[-1] == self.boundaries[-1], "documents and shards hold the same number of tokens"

    @classmethod
    def of(cls, documents: Iterable[Ids], *, vocabulary_size: int, document_bytes: Ids | None = None) -> "TokenStore":
        """A store in memory. ``document_bytes`` are the bytes of text of each document, where they are known."""
        arrays = [np.asarray(document, dtype=np.int64) for document in documents]
        tokens = np.concatenate([np.zeros(0, dtype=np.int64), *arrays])
        if len(tokens) and (tokens.min() < 0 or tokens.max() >= vocabulary_size):
            raise DataError(
                "a token id is outside the vocabulary",
                received=f"ids from {tokens.min()} to {tokens.max()}",
                expected=f"ids from 0 to {vocabulary_size - 1}",
                fix="encode the text with the tokenizer of this model",
            )
        lengths = np.array([len(array) for array in arrays], dtype=np.int64)
        sizes = np.asarray(document_bytes if document_bytes is not None else np.zeros(len(arrays)), dtype=np.int64)
        fingerprint = hashlib.sha256(tokens.tobytes() + lengths.tobytes()).hexdigest()
        return cls([tokens], lengths, sizes, vocabulary_size=vocabulary_size, fingerprint=fingerprint)

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = True) -> "TokenStore":
        """The store that `write_shards` wrote to ``folder``.

        Every file is read once to compare its SHA-256, about a second a gigabyte; ``verify=False`` compares sizes only.

        Raises:
            DataError: a file is missing, truncated or altered.
        """
        folder = Path(folder)
        header = _read_header(folder)
        for file in header["files"]:
            _check_file(folder / file["name"], file, verify=verify)
        documents = np.fromfile(folder / _DOCUMENTS, dtype="<i8").reshape(-1, 2)
        shards = [
            np.memmap(folder / file["name"], dtype=header["dtype"], mode="r")
            for file in header["files"]
            if file["name"] != _DOCUMENTS and file["bytes"]
        ]
        return cls(
            shards,
            documents[:, 0],
            documents[:, 1],
            vocabulary_size=header["vocabulary_size"],
            fingerprint=header["fingerprint"],
        )

    @property
    def num_tokens(self) -> int:
        """Tokens of all documents, special ones included."""
        return int(self.boundaries[-1])

    @property
    def num_documents(self) -> int:
        """Number of documents."""
        return len(self.boundaries) - 1

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of the text that the tokens stand for: the denominator of bits per byte."""
        return int(self.document_bytes.sum())

    def document(self, index: int) -> np.ndarray:
        """The ids of one document, [tokens] int64."""
        return self.gather(np.arange(self.boundaries[index], self.boundaries[index + 1]))

    def gather(self, positions: np.ndarray) -> np.ndarray:
        """The ids at ``positions`` (any shape), as int64."""
        if len(self._shards) == 1:
            return self._shards[0][positions].astype(np.int64)
        shard = np.searchsorted(self._shard_starts, positions, side="right") - 1
        ids = np.empty(positions.shape, dtype=np.int64)
        for index in np.unique(shard):
            here = shard == index
            ids[here] = self._shards[index][positions[here] - self._shard_starts[index]]
        return ids


class ShardWriter:
    """Appends documents to a folder; `finish` writes the header. Use `write_shards` unless the folder is staged."""

    def __init__(self, folder: Path, *, vocabulary_size: int, shard_tokens: int = _SHARD_TOKENS):
        self._folder = folder
        self._vocabulary_size = vocabulary_size
        self._dtype = np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")
        self._shard_tokens = shard_tokens
        self._documents: list[tuple[int, int]] = []
        self._pending: list[np.ndarray] = []
        self._pending_tokens = 0
        self._shard_tokens_so_far = 0
        self._shard_bytes, self._shard_digest = 0, hashlib.sha256()
        self._files: list[dict[str, Any]] = []

    def add(self, ids: Ids, text_bytes: int) -> None:
        """One more document: its ids and the UTF-8 bytes of its text."""
        if self._shard_tokens_so_far and self._shard_tokens_so_far + len(ids) > self._shard_tokens:
            self._end_shard()
        wide = np.asarray(ids, dtype=np.int64)
        assert not len(wide) or (wide.min() >= 0 and wide.max() < self._vocabulary_size), "ids fit the vocabulary"
        self._pending.append(wide.astype(self._dtype))
        self._pending_tokens += len(ids)
        self._shard_tokens_so_far += len(ids)
        self._documents.append((len(ids), text_bytes))
        if self._pending_tokens >= _BUFFERED_TOKENS:
            self._flush()

    def finish(self) -> dict[str, Any]:
        """Write what is left and the header, which is returned."""
        self._end_shard()
        documents = np.array(self._documents, dtype="<i8").reshape(-1, 2)
        self._write_file(_DOCUMENTS, documents.tobytes())
        tokens, text_bytes = documents.sum(axis=0).tolist()
        header = {
            "format": FORMAT,
            "dtype": self._dtype.str,
            "vocabulary_size": self._vocabulary_size,
            "documents": len(documents),
            "tokens": tokens,
            "text_bytes": text_bytes,
            "files": self._files,
        }
        header["fingerprint"] = _fingerprint(header)
        (self._folder / _HEADER).write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")
        return header

    @property
    def _shard(self) -> str:
        return f"tokens-{len(self._files):05d}.bin"

    def _flush(self) -> None:
        """Appends what waits to the shard's file."""
        content = np.concatenate(self._pending).tobytes()
        _append(self._folder / self._shard, content)
        self._shard_bytes += len(content)
        self._shard_digest.update(content)
        self._pending, self._pending_tokens = [], 0

    def _end_shard(self) -> None:
        if self._pending:
            self._flush()
        if (self._folder / self._shard).exists():
            self._files.append(
                {"name": self._shard, "bytes": self._shard_bytes, "sha256": self._shard_digest.hexdigest()}
            )
        self._shard_tokens_so_far = 0
        self._shard_bytes, self._shard_digest = 0, hashlib.sha256()

    def _write_file(self, name: str, content: bytes) -> None:
        (self._folder / name).write_bytes(content)
        self._files.append({"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def write_shards(
    folder: str | Path,
    documents: Iterable[tuple[Ids, int]],
    *,
    vocabulary_size: int,
    shard_tokens: int = _SHARD_TOKENS,
) -> TokenStore:
    """Write (ids, bytes of text) of each document to ``folder``, atomically, and open it.

    Raises:
        StorageError: the disk is full or the place cannot be written; nothing half-written is left.
    """
    folder = Path(folder)
    with staged_folder(folder) as staging:
        writer = ShardWriter(staging, vocabulary_size=vocabulary_size, shard_tokens=shard_tokens)
        for ids, text_bytes in documents:
            writer.add(ids, text_bytes)
        writer.finish()
    return TokenStore.open(folder, verify=False)


def is_shard_file(name: str) -> bool:
    """Whether the name is one that `write_shards` gives to a file."""
    return name in (_HEADER, _DOCUMENTS) or re.fullmatch(r"tokens-\d{5,}\.bin", name) is not None


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / _HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StorageError(
            "there are no token shards here",
            received=folder,
            expected=f"a folder with {_HEADER}",
            fix="make one with `trivium prepare SOURCE --output FOLDER`",
        ) from error
    except OSError as error:
        raise StorageError("the token shards cannot be read", received=f"{path}: {error.strerror}") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise _damaged(path, "not JSON") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _damaged(path, "not a header of this format")
    if header.get("fingerprint") != _fingerprint(header):
        raise _damaged(path, "the header does not match its own checksum")
    return header


def _fingerprint(header: dict[str, Any]) -> str:
    """SHA-256 of the header, which holds the SHA-256 of every file: one number for all the data."""
    content = {key: value for key, value in header.items() if key != "fingerprint"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_file(path: Path, expected: dict[str, Any], *, verify: bool) -> None:
    if not path.is_file():
        raise _damaged(path, "missing")
    size = path.stat().st_size
    if size != expected["bytes"]:
        raise _damaged(path, f"{size:,} bytes instead of {expected['bytes']:,}")
    if verify and _sha256(path) != expected["sha256"]:
        raise _damaged(path, "its SHA-256 is not the one written in the header")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(
        "the token shards are truncated or altered",
        received=f"{path}: {reason}",
        fix="prepare the data again, or copy the folder again from where it was made",
    )
