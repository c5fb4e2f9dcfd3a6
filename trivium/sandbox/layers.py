"""The names of the layers, and which of them a program is not run without."""

PROCESS = "process"
"""A process of its own, in a group of its own, with no environment and no open files but its pipes."""
UNPRIVILEGED = "unprivileged"
"""Not root, no capability, and none to be had (no_new_privs)."""
USER = "user_namespace"
MOUNT = "mount_namespace"
"""A root folder of its own: the library, read only, and a scratch folder in memory."""
PID = "pid_namespace"
NETWORK = "network_namespace"
IPC = "ipc_namespace"
UTS = "uts_namespace"
LANDLOCK = "landlock"
SECCOMP = "seccomp"
LIMITS = "limits"

NAMES = (PROCESS, UNPRIVILEGED, USER, MOUNT, PID, NETWORK, IPC, UTS, LANDLOCK, SECCOMP, LIMITS)
MACHINES = ("x86_64", "aarch64")
"""The processors whose system calls are known here."""
REQUIRED = (PROCESS, UNPRIVILEGED, SECCOMP, LIMITS)
"""All of these, and one of the next."""
FILES = (LANDLOCK, MOUNT)
"""Either keeps the machine's files away."""


def lacking(in_force: list[str]) -> list[str]:
    """The layers for whose want nothing is run, in the order of `NAMES`; empty where it may."""
    wanting = [name for name in REQUIRED if name not in in_force]
    if not any(name in in_force for name in FILES):
        wanting += FILES
    return [name for name in NAMES if name in wanting]
