"""Limits of the kernel on one process: memory, processor time, size of a file, number of files and of threads."""

import resource

from trivium.sandbox.root import SCRATCH_MIB

_FILES, _THREADS = 64, 64


def impose(*, memory_bytes: int, cpu_seconds: int, count_threads: bool) -> None:
    """Sets them for good. `count_threads` where the user is this process's alone: they are counted by user.

    Processor time is the second line: on a loaded machine it comes late, and a sleep never spends any.
    """
    values = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: SCRATCH_MIB << 20,
        resource.RLIMIT_NOFILE: _FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if count_threads:
        values[resource.RLIMIT_NPROC] = _THREADS
    for limit, value in values.items():
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
