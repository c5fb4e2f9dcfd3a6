"""Folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trivium.errors import StorageError


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Write into a temporary folder beside ``target``; on leaving, flush it to the disk and rename it.

    A folder already at ``target`` stays until the new one is complete. Whatever fails, nothing half-written is left.

    Raises:
        StorageError: the disk is full, or the place cannot be written.
    """
    staging = target.with_name(f".{target.name}.{os.getpid()}.writing")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        yield staging
        for path in sorted(staging.rglob("*"), reverse=True):
            _flush(path)
        _flush(staging)
        _replace(staging, target)
    except OSError as error:
        raise StorageError(
            "the data cannot be written",
            received=f"{error.filename or target}: {error.strerror or error}",
            expected="a place with enough space and write permission",
            fix="free some space or choose another --output",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _replace(staging: Path, target: Path) -> None:
    """Rename ``staging`` to ``target``, moving away what stands there."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    staging.rename(target)
    _flush(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    """Wait until the file or folder has reached the disk: a rename may otherwise overtake the content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
