"""Landlock: which files this process may open, decided by the process itself, without privileges, for good.

What may be read is Python's library, what may be written the scratch folder, and nothing may be executed. From its
fourth version on it refuses TCP as well, from its sixth abstract Unix sockets and signals that leave the sandbox.
"""

import ctypes
import errno
import os
import stat
import struct

from trivium.sandbox import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every machine
_ASK_VERSION, _BENEATH_PATH = 1, 1
# include/uapi/linux/landlock.h
_WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _REFER, _TRUNCATE = 1 << 7, 1 << 8, 1 << 13, 1 << 14
# How many rights on files each version knows, those of the versions before it included.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_READ = _READ_FILE | _READ_DIR
_SCRATCH = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_OF_A_FILE = _READ_FILE | _WRITE_FILE | _TRUNCATE


def version() -> int:
    """The version that this kernel has; raises OSError where it has none."""
    return kernel.system_call(_CREATE, None, 0, _ASK_VERSION)


def restrict(*, listable: list[str], readable: list[str], writable: list[str]) -> None:
    """Leaves this process nothing but these files and folders, with all that is in them. Needs no_new_privs.

    Importing lists folders: `listable` are those of which only some entries may be read.
    """
    known = version()
    rights = (1 << _FILE_RIGHTS[min(known, max(_FILE_RIGHTS))]) - 1
    tcp = 0b11 if known >= 4 else 0
    scopes = 0b11 if known >= 6 else 0
    words = [rights, *([tcp] if tcp else []), *([scopes] if scopes else [])]
    ruleset = kernel.system_call(_CREATE, struct.pack(f"{len(words)}Q", *words), 8 * len(words), 0)
    try:
        for paths, allowed in ((listable, _READ_DIR), (readable, _READ), (writable, _SCRATCH)):
            for path in paths:
                _allow(ruleset, path, allowed & rights)
        kernel.system_call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def verify() -> None:
    """Raises OSError unless the root folder, which was given to nobody, can no longer be listed."""
    try:
        os.listdir("/")
    except PermissionError:
        return
    raise OSError(errno.ENOTSUP, "the rules are installed and let everything through")


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what cannot be reached needs no rule
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_A_FILE
        if not rights:
            return
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor), 12)
        kernel.system_call(_ADD, ruleset, _BENEATH_PATH, rule, 0)
    finally:
        os.close(descriptor)
