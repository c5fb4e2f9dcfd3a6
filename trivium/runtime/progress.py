"""How long work tells where it stands: a live bar on a terminal, a plain line now and then elsewhere.

Everything goes to standard error, so that standard output stays clean for results and `--json`.
"""

import abc
import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

# Elsewhere than on a terminal, lines come with the first step, at these seconds after the start, and then each minute:
# a log shows life early and does not drown in it later.
_EARLY_SECONDS = (5.0, 15.0, 30.0)
_LATER_SECONDS = 60.0


class Bar(abc.ABC):
    """The progress of one piece of work of `total` units (None where unknown), made by `bar`."""

    def __init__(self, title: str, total: float | None, unit: str):
        self.title = title
        self.total = total
        self.unit = unit
        self.done = 0.0
        self.note = ""
        self._start = time.monotonic()
        self._begun_at = 0.0

    def start_from(self, done: float) -> None:
        """`done` units were finished by an earlier run: they count as progress, not as speed."""
        self.done = self._begun_at = done
        self._show()

    def advance(self, units: float = 1.0, note: str = "") -> None:
        """`units` more are done; `note` is what to say beside the bar, such as the loss."""
        self.done += units
        self.note = note or self.note
        self._show()

    @property
    def rate(self) -> float:
        """Units a second since the start of this run."""
        return (self.done - self._begun_at) / max(time.monotonic() - self._start, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the rate so far; None where the total or the rate is unknown."""
        if self.total is None or self.rate <= 0:
            return None
        return max(0.0, self.total - self.done) / self.rate

    def line(self) -> str:
        """Where the work stands, in one line of text."""
        whole = "" if self.total is None else f"/{self.total:,.0f}"
        parts = [f"{self.title}: {self.done:,.0f}{whole} {self.unit}", f"{_significant(self.rate)} {self.unit}/s"]
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        if self.note:
            parts.append(self.note)
        return ", ".join(parts)

    @abc.abstractmethod
    def _show(self) -> None:
        """The numbers changed."""

    @abc.abstractmethod
    def _finish(self) -> None:
        """The work ended, done or not."""


class _LiveBar(Bar):
    def __init__(self, title: str, total: float | None, unit: str):
        super().__init__(title, total, unit)
        columns = (TextColumn("{task.fields[title]}"), BarColumn(bar_width=24), TextColumn("{task.fields[line]}"))
        self._progress = Progress(*columns, console=Console(stderr=True), refresh_per_second=5)
        self._task = self._progress.add_task("", total=total, title=title, line="")
        self._progress.start()

    def _show(self) -> None:
        line = self.line().removeprefix(f"{self.title}: ")
        self._progress.update(self._task, completed=self.done, line=line)

    def _finish(self) -> None:
        self._show()
        self._progress.stop()


class _PlainBar(Bar):
    def __init__(self, title: str, total: float | None, unit: str):
        super().__init__(title, total, unit)
        self._due = 0.0

    def _show(self) -> None:
        elapsed = time.monotonic() - self._start
        if elapsed >= self._due:
            self._say()
            self._due = next((moment for moment in _EARLY_SECONDS if moment > elapsed), elapsed + _LATER_SECONDS)

    def _say(self) -> None:
        print(self.line(), file=sys.stderr, flush=True)

    def _finish(self) -> None:
        self._say()


class _SilentBar(Bar):
    def _show(self) -> None:
        pass

    def _finish(self) -> None:
        pass


@contextlib.contextmanager
def bar(title: str, total: float | None = None, *, unit: str = "steps", silent: bool = False) -> Iterator[Bar]:
    """Shows the progress of the block: `with bar("training", 400) as progress: progress.advance(1, "loss 3.2")`.

    `silent` shows nothing: for the ranks that are not the first.
    """
    kind = _SilentBar if silent else _LiveBar if sys.stderr.isatty() else _PlainBar
    shown = kind(title, total, unit)
    try:
        yield shown
    finally:
        shown._finish()


def duration(seconds: float) -> str:
    """A length of time as people say it: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _significant(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
