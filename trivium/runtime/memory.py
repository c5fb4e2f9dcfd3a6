"""How much memory this process has needed."""

import contextlib
import pathlib
import resource
import sys

_STATUS = pathlib.Path("/proc/self/status")
_CLEAR = pathlib.Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Starts the measurement of `peak_mib` anew; where the system cannot, the peak stays that of the whole process."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")  # Linux: resets the high-water mark


def peak_mib() -> float:
    """Most memory held at once, in MiB, since `forget_peak` or the start of the process."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    # macOS counts bytes, others kilobytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
