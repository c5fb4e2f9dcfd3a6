"""Ctrl-C where a person is at work: it ends what is being done, and nothing else."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Within the block Ctrl-C raises `KeyboardInterrupt` at most once after each `listen()`, and is passed over else.

    So a second Ctrl-C cannot fall into the work of the first, such as saying that it came. Where it is not `wanted`,
    and outside the main thread, where Python allows no handlers, Ctrl-C does what it did.
    """

    def __init__(self, wanted: bool = True):
        self._wanted = wanted and threading.current_thread() is threading.main_thread()
        self._listening = False
        self._before: Any = None

    def __enter__(self) -> "Interrupts":
        if self._wanted:
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._wanted:
            # None: a handler that was not set from Python, which Python cannot put back.
            signal.signal(signal.SIGINT, signal.default_int_handler if self._before is None else self._before)

    def listen(self) -> None:
        """The next Ctrl-C raises."""
        self._listening = True

    def ignore(self) -> None:
        """Ctrl-C is passed over, until `listen()`."""
        self._listening = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._listening:
            self._listening = False
            raise KeyboardInterrupt
