"""Folders of data that appear whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trivium.errors import StorageError
from trivium.runtime.atomic import PARTIAL, folder_to_fill, hidden, put_in_place, settle, sync_path


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Write into a temporary folder beside ``target``; on leaving, flush it to the disk and rename it.

    A folder already at ``target`` stays until the new one is complete. Whatever fails, nothing half-written is left.

    Raises:
        StorageError: the disk is full, or the place cannot be written.
    """
    target = folder_to_fill(target)
    staging = hidden(target, PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        settle(target)
        staging.mkdir()
        yield staging
        for path in sorted(staging.rglob("*"), reverse=True):
            sync_path(path)
        sync_path(staging)
        put_in_place(staging, target)
    except OSError as error:
        raise StorageError(
            "the data cannot be written",
            received=f"{error.filename or target}: {error.strerror or error}",
            expected="a place with enough space and write permission",
            fix="free some space or choose another --output",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
