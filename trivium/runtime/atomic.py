"""Folders that appear whole or not at all: filled under a hidden name beside the target, then renamed.

    settle(target)                              # ends what a killed process began
    partial = hidden(target, PARTIAL)
    ...                                         # fill it, and force its files to disk
    put_in_place(partial, target)

A process killed at any instant leaves the earlier folder, or the new one, and at most a hidden leftover. The hidden
names hold no process number, so that the next process finds them.
"""

import os
import pathlib
import shutil

from trivium.errors import StorageError

PARTIAL, REPLACED, REMOVED = ".partial", ".replaced", ".removed"


def hidden(target: pathlib.Path, suffix: str) -> pathlib.Path:
    """The name beside `target` for what is not in place yet, or no longer."""
    return target.with_name(f".{target.name}{suffix}")


def is_leftover(path: pathlib.Path) -> bool:
    """Whether the name is one that `hidden` gives."""
    return path.name.startswith(".") and path.name.endswith((PARTIAL, REPLACED, REMOVED))


def folder_to_fill(target: str | pathlib.Path) -> pathlib.Path:
    """The absolute path of `target`, links resolved, where a folder can be put there or replaced.

    Raises `StorageError` for a file, for the current folder and for all that hold it.
    """
    try:
        resolved = pathlib.Path(target).resolve()
        holds_current = pathlib.Path.cwd().is_relative_to(resolved)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle, before Python 3.13
        raise StorageError(
            "the path cannot be followed", received=f"{target}: {error}", fix="check the path"
        ) from error
    if holds_current:
        raise StorageError(
            "the current folder, or one that holds it, cannot be replaced",
            received=target,
            expected="a new or empty folder",
            fix="choose another folder, such as one inside this one",
        )
    if resolved.exists() and not resolved.is_dir():
        raise StorageError("the output is a file", received=target, expected="a folder", fix="choose another output")
    return resolved


def settle(target: pathlib.Path) -> None:
    """Ends what an earlier process began at `target`: an unfinished save, replacement or removal."""
    shutil.rmtree(hidden(target, PARTIAL), ignore_errors=True)
    shutil.rmtree(hidden(target, REMOVED), ignore_errors=True)
    replaced = hidden(target, REPLACED)
    if replaced.exists():
        if target.exists():
            shutil.rmtree(replaced)
        else:  # killed between the two renames: the earlier folder comes back
            rename(replaced, target)


def put_in_place(partial: pathlib.Path, target: pathlib.Path) -> None:
    """Renames `partial` to `target`; the folder there before is deleted after, or comes back if this fails."""
    replaced = hidden(target, REPLACED)
    replaces = target.exists()
    if replaces:  # a directory that is not empty cannot be renamed over
        rename(target, replaced)
    try:
        rename(partial, target)
    except OSError:
        if replaces:
            rename(replaced, target)
        raise
    sync_path(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def sync_path(path: pathlib.Path) -> None:
    """Waits until a file, or the names in a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


# The steps that reach the disk, by themselves so that tests can fail or kill the process at each of them.


def sync(descriptor: int) -> None:
    """Waits until an open file has reached the disk."""
    os.fsync(descriptor)


def rename(source: pathlib.Path, target: pathlib.Path) -> None:
    """Gives a file or folder another name."""
    source.rename(target)
