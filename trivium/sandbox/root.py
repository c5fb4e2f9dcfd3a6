"""A root folder of its own for the process: Python's library, read only, /dev/null, and a scratch folder in memory.

The machine's other files are not forbidden here, they do not exist.
"""

import os
import stat

from trivium.sandbox import kernel

SCRATCH = "/tmp"
"""The scratch folder, and the program's current folder."""
NULL = "/dev/null"
SCRATCH_MIB = 16

_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXECUTION = 1, 2, 4, 8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 32, 4096, 16384, 1 << 18
_OLD = "/old"


def build(library: list[str], hidden: list[str]) -> None:
    """Makes the folder and moves into it; `hidden` are folders in `library` that shall be empty.

    Needs a mount namespace of its own. Any folder serves to mount the new root on: it covers that folder only until
    the old root is moved into the new one, where it shows uncovered.
    """
    kernel.mount("none", "/", None, _RECURSIVE | _PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", _NO_SUID | _NO_DEVICES, "size=1m,mode=0755")
    os.mkdir("/tmp" + _OLD)
    kernel.pivot_root("/tmp", "/tmp" + _OLD)
    os.chdir("/")
    for path in library:
        _show(path, _READ_ONLY | _NO_SUID | _NO_DEVICES)
    for path in hidden:
        kernel.mount("tmpfs", path, "tmpfs", _READ_ONLY | _NO_SUID | _NO_DEVICES | _NO_EXECUTION, "mode=0755")
    _show(NULL, _NO_SUID | _NO_EXECUTION)
    os.makedirs(SCRATCH, exist_ok=True)
    size = f"size={SCRATCH_MIB}m,nr_inodes=1024,mode=1777"
    kernel.mount("tmpfs", SCRATCH, "tmpfs", _NO_SUID | _NO_DEVICES | _NO_EXECUTION, size)
    kernel.unmount(_OLD)
    os.rmdir(_OLD)
    kernel.mount("none", "/", None, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)
    os.chdir(SCRATCH)


def _show(path: str, flags: int) -> None:
    """The file or folder at `path` of the old root at the same place of the new one."""
    source = _OLD + path
    if stat.S_ISDIR(os.stat(source).st_mode):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(source, path, None, _BIND | _RECURSIVE)
    # An ordinary user may not take off what an outer mount forbids. Times of access are kept where none is named.
    kept = os.statvfs(path).f_flag & (_READ_ONLY | _NO_SUID | _NO_DEVICES | _NO_EXECUTION)
    kernel.mount("none", path, None, _REMOUNT | _BIND | flags | kept)
