"""A filter on system calls, from the list of `calls`: what is not allowed fails with EPERM. It cannot be taken off.

Classic BPF as seccomp(2) describes it, over `struct seccomp_data {int nr; u32 arch; u64 ip; u64 args[6]}`.
"""

import ctypes
import errno
import os
import struct

from trivium.sandbox import calls, kernel

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_SECCOMP_MODE_FILTER = 2

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def install() -> None:
    """Puts the filter on this thread and all that it will start. Needs no_new_privs."""
    code = b"".join(struct.pack("HBBI", *step) for step in program(kernel.MACHINE, os.getpid()))
    filter_ = _Program(len(code) // 8, code)
    kernel.prctl(kernel.PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(filter_))


def verify() -> None:
    """Raises OSError unless a call that is not on the list is refused: a user's own clock of no time, harmless."""
    try:
        kernel.unshare(0)
    except PermissionError:
        return
    raise OSError(errno.ENOTSUP, "the filter is installed and lets everything through")


def program(machine: str, process: int) -> list[Instruction]:
    """The filter: the list is gone through from its top, and the first that fits decides.

    A call by another architecture's convention kills the process, since the numbers mean other calls there.
    """
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, kernel.AUDIT_ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    conditions = calls.conditions(process)
    for name, number in calls.numbers(machine).items():
        block = [*_checked(conditions.get(name, [])), (_RETURN, 0, 0, _ALLOW)]
        steps += [(_EQUAL, 0, len(block), number), *block]
    steps += [
        (_EQUAL, 1, 0, calls.CLONE3),
        (_AT_LEAST, 0, 1, calls.YOUNGER),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    return steps


def _checked(checks: list[calls.Check]) -> list[Instruction]:
    steps = []
    for half, mask, values in checks:
        steps += [(_LOAD, 0, 0, _ARGUMENTS + 4 * half), (_AND, 0, 0, mask)]
        steps += [(_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
        steps.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return steps
