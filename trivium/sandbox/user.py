"""Giving up privileges: root becomes a user that nobody is, and no capability is left or can be had again."""

import errno
import os

from trivium.sandbox import kernel

# A user for each process, so that limits count it alone and no two programs are of one user; far from those in use.
_UNUSED, _NOBODY = 0x70000000, 65534


def forbid_new_privileges() -> None:
    """No file that is executed from here on adds a privilege. Filters and Landlock ask for it."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def drop(process: int) -> None:
    """Root becomes the user of this process's number, an ordinary user stays; both lose all capabilities."""
    if os.geteuid() == 0:
        os.setgroups([])
        try:
            _become(_UNUSED + process)
        except OSError:  # a container may have room for 65,536 users only
            _become(_NOBODY)
    kernel.drop_capabilities()
    # Other processes of the user can neither trace this one nor read its memory.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def verify() -> None:
    """Raises OSError if the process is root, could become it again, or has a capability."""
    if 0 in os.getresuid():
        raise OSError(errno.EPERM, "the process is still root")
    if any(kernel.capabilities()):
        raise OSError(errno.EPERM, "the process still has capabilities")


def _become(number: int) -> None:
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)
