"""A bound for what would otherwise compute for ever. It is no measurement: many times what the work takes anywhere."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def computing_at_most(seconds: float) -> Iterator[None]:
    """Fails what takes more seconds of processor time, of which other programs take none; the `re` module and Python's
    own loops are interrupted."""

    def fail(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"this computes for more than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, fail)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)  # again, should the first be caught
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
