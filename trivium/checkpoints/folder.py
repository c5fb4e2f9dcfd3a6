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
import pathlib
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

from trivium.errors import CheckpointError, StorageError
from trivium.runtime import atomic

MANIFEST = "manifest.json"
_FORMAT = "trivium folder 1"
_CHUNK_BYTES = 4 * 2**20
_NAMED = 5


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
            atomic.sync(file.fileno())
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
                    atomic.sync(file.fileno())
                self._files[name] = _describe(path)

    def finish(self) -> None:
        """Writes the manifest and forces every directory entry to disk."""
        for path in self.path.rglob("*"):
            if path.is_dir():
                atomic.sync_path(path)
        with (self.path / MANIFEST).open("wb", buffering=0) as file:
            _write(file, memoryview(_manifest_bytes(self._files)))
            atomic.sync(file.fileno())
        atomic.sync_path(self.path)


@contextlib.contextmanager
def new_folder(target: str | pathlib.Path) -> Iterator[FolderWriter]:
    """Fills `target` anew: after the block it holds what was written, before that what it held earlier.

    Raises `StorageError` when the disk is full or cannot be written; the earlier folder is then untouched.
    """
    target = pathlib.Path(target)
    partial = atomic.hidden(target, atomic.PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic.settle(target)
        partial.mkdir()
        writer = FolderWriter(partial)
        yield writer
        writer.finish()
        atomic.put_in_place(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise _storage_error(target, error) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def replaceable(target: str | pathlib.Path) -> pathlib.Path:
    """The resolved `target`, where nothing but a folder saved by `new_folder` would be lost by saving there.

    Raises `StorageError` for a file, the current folder, and a folder with any file that its manifest does not list.
    """
    folder = atomic.folder_to_fill(target)
    try:
        present = {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if (path.is_symlink() or not path.is_dir()) and not atomic.is_leftover(path)
        }
    except OSError as error:
        raise _storage_error(folder, error) from error
    try:
        listed = {MANIFEST, *read_manifest(folder)} if present else set()
    except CheckpointError:
        listed = set()
    foreign = sorted(present - listed)
    if foreign:
        raise StorageError(
            "the folder holds something else than a saved model, and saving would delete it",
            received=f"{target}: {', '.join(foreign[:_NAMED])}{' ...' if len(foreign) > _NAMED else ''}",
            expected="a new or empty folder, or one that Trivium saved and nothing was added to",
            fix="save to another folder",
        )
    return folder


def verify_folder(folder: str | pathlib.Path) -> None:
    """Compares every file with the manifest. Raises `CheckpointError` naming the files that differ."""
    folder = pathlib.Path(folder)
    wrong, files = [], read_manifest(folder)
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name}: missing")
        elif path.stat().st_size != expected["bytes"]:
            wrong.append(f"{name}: {path.stat().st_size} bytes instead of {expected['bytes']}")
        elif _describe(path) != expected:
            wrong.append(f"{name}: the content has changed")
    if wrong:
        fix = "use an earlier checkpoint or copy the folder again"
        if not any(name.startswith("resume/") for name in files):  # a run's checkpoint is nothing without its manifest
            fix += f"; after editing a file on purpose, delete {MANIFEST} to say so"
        raise CheckpointError(
            f"{folder} is damaged",
            received="\n".join(wrong),
            expected=f"the files that {MANIFEST} describes",
            fix=fix,
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
        intact = _manifest_bytes(files) == raw and all(map(_is_description, files.values()))
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
    hidden = atomic.hidden(folder, atomic.REMOVED)
    shutil.rmtree(hidden, ignore_errors=True)
    atomic.rename(folder, hidden)
    shutil.rmtree(hidden)


def clear_leftovers(parent: pathlib.Path) -> None:
    """Clears what killed processes left among the folders of `parent`; no other process may be saving there."""
    for path in sorted(parent.glob(".*")):
        for suffix in (atomic.PARTIAL, atomic.REPLACED, atomic.REMOVED):
            if path.name.endswith(suffix) and path.is_dir():
                atomic.settle(parent / path.name[1 : -len(suffix)])


def replace_file(path: pathlib.Path, data: bytes) -> None:
    """Puts a new version of a single file in place at once. Raises `StorageError` and keeps the old one."""
    partial = path.with_name(f".{path.name}{atomic.PARTIAL}")
    try:
        with partial.open("wb", buffering=0) as file:
            for chunk in _chunks([data]):
                _write(file, chunk)
            atomic.sync(file.fileno())
        atomic.rename(partial, path)
        atomic.sync_path(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _storage_error(path, error) from error


def _describe(path: pathlib.Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _is_description(value: object) -> bool:
    return isinstance(value, dict) and type(value.get("bytes")) is int and isinstance(value.get("sha256"), str)


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


def _write(file: Any, data: memoryview) -> None:
    """Writes all of `data`: an unbuffered file may take only a part of it. By itself so that tests can fail in it."""
    while data:
        data = data[file.write(data) :]
