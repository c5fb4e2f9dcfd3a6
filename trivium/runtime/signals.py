"""Stopping on request: the first Ctrl-C or SIGTERM sets a flag that the work polls, the second ends it at once.

The handler does nothing but set the flag, so no save is ever torn by it; the trainer looks at every step, saves, and
raises `Interrupted`. torchrun forwards SIGTERM to every rank; see `processes.any_process` for agreeing on the step.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_CAUGHT = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether a signal asked to stop, and which. False until then: `if stop: save`."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None


@contextlib.contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Catches SIGINT and SIGTERM for the length of the block and puts the earlier handlers back after it.

    The second signal raises `KeyboardInterrupt` where the work stands. Outside the main thread, where Python allows
    no handlers, the flag simply stays False.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.signal_number = number

    before = {number: signal.signal(number, note) for number in _CAUGHT}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # None: a handler that was not set from Python, which Python cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
