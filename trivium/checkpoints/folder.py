"""A folder that exists whole or not at all, and that tells when a byte of it has changed.

Everything is written into a hidden folder beside the target, each file is forced to disk, and `manifest.json`, which
holds the size and SHA-256 of every other file, comes last. One rename then puts the folder in place. A process killed
at any instant leaves the earlier folder, or the new one, and at most a hidden leftover that the next save clears.

    with new_folder("run/checkpoints/step-00000100") as writer:
        writer.write_json("config.json", config)
        write_tensors(writer, "model.safetensors", tensors)

    verify_folder("run/checkpoints/step-00000100")
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

from trivium.errors import CheckpointError, StorageError

MANIFEST = "manifest.json"
_FORMAT = "trivium folder 1"
_CHUNK_BYTES = 4 * 2**20

_PARTIAL, _REPLACED, _REMOVED = ".partial", ".replaced", ".removed"


class FolderWriter:
    """Writes the files of one folder that is not in place yet. Made by `new_folder`."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._files: dict[str, dict[str, Any]] = {}

    def write(self, name: str, data: bytes | Iterable[bytes | memoryview]) -> None:
        """Writes one file, `name` being its path inside the folder; `data` may come in pieces of any size."""
        assert name not in (*self._files, MANIFEST), name
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with path.open("wb", buffering=0) as file:
            for chunk in _chunks([data] if isinstance(data, bytes) else data):
                _write(file, chunk)
                digest.update(chunk)
                size += len(chunk)
            _sync(file.fileno())
        self._files[name] = {"bytes": size, "sha256": digest.hexdigest()}

    def write_text(self, name: str, text: str) -> None:
        """Writes UTF-8 text."""
        self.write(name, text.encode())

    def write_json(self, name: str, value: object) -> None:
        """Writes JSON, indented for people; NaN and infinity, which are not JSON, are refused."""
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def adopt(self) -> None:
        """Takes in the files that something else (a tokenizer's `save`) wrote straight into `self.path`."""
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_file() and name not in self._files:
                with path.open("rb") as file:
                    _sync(file.fileno())
                self._files[name] = _describe(path)

    def finish(self) -> None:
        """Writes the manifest and forces every directory entry to disk."""
        for path in self.path.rglob("*"):
            if path.is_dir():
                _sync_directory(path)
        with (self.path / MANIFEST).open("wb", buffering=0) as file:
            _write(file, memoryview(_manifest_bytes(self._files)))
            _sync(file.fileno())
        _sync_directory(self.path)


@contextlib.contextmanager
def new_folder(target: str | pathlib.Path) -> Iterator[FolderWriter]:
    """Fills `target` anew: after the block it holds what was written, before that what it held earlier.

    Raises `StorageError` when the disk is full or cannot be written; the earlier folder is then untouched.
    """
    target = pathlib.Path(target)
    partial = _hidden(target, _PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _settle(target)
        partial.mkdir()
        writer = FolderWriter(partial)
        yield writer
        writer.finish()
        _put_in_place(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise _storage_error(target, error) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def verify_folder(folder: str | pathlib.Path) -> None:
    """Compares every file with the manifest. Raises `CheckpointError` naming the files that differ."""
    folder = pathlib.Path(folder)
    wrong = []
    for name, expected in read_manifest(folder).items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name}: missing")
        elif path.stat().st_size != expected["bytes"]:
            wrong.append(f"{name}: {path.stat().st_size} bytes instead of {expected['bytes']}")
        elif _describe(path) != expected:
            wrong.append(f"{name}: the content has changed")
    if wrong:
        raise CheckpointError(
            f"{folder} is damaged",
            received="\n".join(wrong),
            expected=f"the files that {MANIFEST} describes",
            fix="use an earlier checkpoint or copy the folder again; after editing a file on purpose, delete "
            f"{MANIFEST} to say so",
        )


def read_manifest(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file. Raises `CheckpointError` where the manifest is absent or damaged."""
    path, files = folder / MANIFEST, {}
    if not folder.is_dir():
        raise CheckpointError("there is no such checkpoint folder", received=folder, fix="check the path")
    try:
        raw = path.read_bytes()
        files = json.loads(raw)["files"]
        # Written back, it must be the same bytes: whatever was altered, a name or a space, is found.
        intact = _manifest_bytes(files) == raw
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} has no {MANIFEST}",
            expected="a folder that Trivium saved",
            fix="take another checkpoint; this one cannot be checked",
        ) from None
    except OSError as error:
        raise _storage_error(path, error) from error
    except (ValueError, KeyError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise CheckpointError(f"{path} is damaged", fix="use an earlier checkpoint or copy the folder again")
    return files


def is_complete(folder: pathlib.Path) -> bool:
    """Whether the folder was finished: the manifest is written last."""
    return (folder / MANIFEST).is_file()


def remove_folder(folder: pathlib.Path) -> None:
    """Deletes a folder so that a crash half-way leaves no half of it under its own name."""
    hidden = _hidden(folder, _REMOVED)
    shutil.rmtree(hidden, ignore_errors=True)
    _rename(folder, hidden)
    shutil.rmtree(hidden)


def clear_leftovers(parent: pathlib.Path) -> None:
    """Clears what killed processes left among the folders of `parent`; no other process may be saving there."""
    for path in sorted(parent.glob(".*")):
        for suffix in (_PARTIAL, _REPLACED, _REMOVED):
            if path.name.endswith(suffix) and path.is_dir():
                _settle(parent / path.name[1 : -len(suffix)])


def replace_file(path: pathlib.Path, data: bytes) -> None:
    """Puts a new version of a single file in place at once. Raises `StorageError` and keeps the old one."""
    partial = path.with_name(f".{path.name}{_PARTIAL}")
    try:
        with partial.open("wb", buffering=0) as file:
            for chunk in _chunks([data]):
                _write(file, chunk)
            _sync(file.fileno())
        _rename(partial, path)
        _sync_directory(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _storage_error(path, error) from error


def _settle(target: pathlib.Path) -> None:
    """Ends what an earlier process began at `target`: an unfinished save, replacement or removal."""
    shutil.rmtree(_hidden(target, _PARTIAL), ignore_errors=True)
    shutil.rmtree(_hidden(target, _REMOVED), ignore_errors=True)
    replaced = _hidden(target, _REPLACED)
    if replaced.exists():
        if target.exists():
            shutil.rmtree(replaced)
        else:  # killed between the two renames: the earlier folder comes back
            _rename(replaced, target)


def _put_in_place(partial: pathlib.Path, target: pathlib.Path) -> None:
    replaced = _hidden(target, _REPLACED)
    if target.exists():  # a directory that is not empty cannot be renamed over
        _rename(target, replaced)
    _rename(partial, target)
    _sync_directory(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _hidden(target: pathlib.Path, suffix: str) -> pathlib.Path:
    return target.with_name(f".{target.name}{suffix}")


def _describe(path: pathlib.Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _manifest_bytes(files: dict[str, dict[str, Any]]) -> bytes:
    manifest = {"format": _FORMAT, "files": {name: files[name] for name in sorted(files)}}
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()


def _chunks(pieces: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
    for piece in pieces:
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), _CHUNK_BYTES):
            yield view[start : start + _CHUNK_BYTES]


def _storage_error(path: pathlib.Path, error: OSError) -> StorageError:
    fixes = {
        errno.ENOSPC: "free some space, or save elsewhere with --output",
        errno.EDQUOT: "free some of your quota, or save elsewhere with --output",
        errno.EACCES: "check the permissions, or save elsewhere with --output",
        errno.EPERM: "check the permissions, or save elsewhere with --output",
        errno.EROFS: "the disk is read-only: save elsewhere with --output",
        errno.EIO: "the disk reports a fault: save elsewhere with --output",
    }
    return StorageError(
        f"{path} cannot be written; what was saved before is intact",
        received=error.strerror or str(error),
        fix=fixes.get(error.errno or 0, "check the disk, or save elsewhere with --output"),
    )


# The three steps that reach the disk, by themselves so that tests can fail or kill the process at each of them.


def _write(file: Any, data: memoryview) -> None:
    """Writes all of `data`: an unbuffered file may take only a part of it."""
    while data:
        data = data[file.write(data) :]


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


def _rename(source: pathlib.Path, target: pathlib.Path) -> None:
    source.rename(target)


def _sync_directory(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)
