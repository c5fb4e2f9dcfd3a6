"""Namespaces: views of the machine that hold nothing of it: no network, no other process, no file but the library's."""

import os
import signal

from trivium.sandbox import kernel, layers

# include/uapi/linux/sched.h. The user namespace comes first: from it an ordinary user has the others.
_KINDS = {
    layers.USER: 0x10000000,
    layers.MOUNT: 0x00020000,
    layers.PID: 0x20000000,
    layers.NETWORK: 0x40000000,
    layers.IPC: 0x08000000,
    layers.UTS: 0x04000000,
}


def kinds() -> list[str]:
    """Those that this user takes: root, who will be dropped, needs no user namespace."""
    return [name for name in _KINDS if name != layers.USER or os.geteuid() != 0]


def leave(kind: str) -> None:
    """Leaves one namespace for a new one. That of processes starts with the next child: see `divide`."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(_KINDS[kind])
    if kind == layers.UTS:
        kernel.set_host_name("sandbox")  # a new one begins with the machine's name
    if kind == layers.USER:
        # An ordinary user may map one id, their own, and groups only once nobody can drop them any more.
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def divide() -> None:
    """Goes on in a child, the first of its namespace: with it all others of it end.

    The process that was before stays behind as a guard. SIGTERM has it kill the child. It ends as the child did, and
    leaves nothing behind that the machine's first process would have to collect, which in a container nobody does.
    """
    signals = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if child:
        os._exit(_guard(child, signals))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def _guard(child: int, signals: set[signal.Signals]) -> int:
    """Waits for the child, and gives the exit code that it ended with, or ends by the signal that it ended by."""
    # The pipes are the child's alone: what it closes is closed.
    os.closerange(0, 8)
    while True:
        if signal.sigwait(signals) == signal.SIGTERM:
            os.kill(child, signal.SIGKILL)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code >= 0:
                return code
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # no core file of ours for a fault of its
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
            os.kill(os.getpid(), -code)
            return 128 - code
