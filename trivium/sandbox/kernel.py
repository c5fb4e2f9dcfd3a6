"""Calls of Linux that Python has no function for, by ctypes: each raises OSError as Python's own do."""

import ctypes
import os
from collections.abc import Callable

MACHINE = os.uname().machine
# Named in the header of every filter; a call made by another convention (32-bit code, say) has other numbers.
AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
PR_SET_NAME, PR_GET_NAME = 15, 16

_libc = ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: object) -> int:
    """The system call of this number; arguments are ints, bytes, None or ctypes objects."""
    return _called(_libc.syscall, number, *arguments)


def prctl(option: int, *arguments: int) -> int:
    """One operation on this process, the arguments that are not given being zero."""
    return _called(_libc.prctl, option, *arguments, *[0] * (4 - len(arguments)))


def unshare(flags: int) -> None:
    """Leaves the namespaces of these kinds for new ones."""
    _called(_libc.unshare, flags)


def set_host_name(name: str) -> None:
    """What this machine is called in the namespace that the process is in."""
    _called(_libc.sethostname, name.encode("ascii"), len(name))


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2)."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _called(_libc.mount, *texts[:3], flags, texts[3])


def unmount(target: str) -> None:
    """Takes a mount out of sight now; it ends when nobody uses it."""
    detach = 2
    _called(_libc.umount2, os.fsencode(target), detach)


def pivot_root(new: str, old: str) -> None:
    """Makes the mount at `new` the root, and puts the old root at `old`, a folder in `new`."""
    system_call({"x86_64": 155, "aarch64": 41}[MACHINE], os.fsencode(new), os.fsencode(old))


def capabilities() -> tuple[int, int, int]:
    """The effective, permitted and inheritable capabilities of this thread, as sets of bits."""
    data = (ctypes.c_uint32 * 6)()
    _called(_libc.capget, _capability_header(), data)
    return (data[0] | data[3] << 32, data[1] | data[4] << 32, data[2] | data[5] << 32)


def drop_capabilities() -> None:
    """Gives every capability up, for ever."""
    _called(_libc.capset, _capability_header(), (ctypes.c_uint32 * 6)())


def _capability_header() -> ctypes.Array:
    version_3, this_thread = 0x20080522, 0
    return (ctypes.c_uint32 * 2)(version_3, this_thread)


def _called(function: Callable[..., int], *arguments: object) -> int:
    # A bare int would go as 32 bits, and half of a pointer is no pointer.
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = function(*converted)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
