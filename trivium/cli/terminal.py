"""What a person sees and types: colours where there is a terminal, lines with a history, texts of several lines."""

import contextlib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Protocol, cast, runtime_checkable

from rich.console import Console

# All that a terminal would obey instead of showing; a line feed and a tab are text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FENCE = "```"
_PLAIN_WIDTH = 10_000


@runtime_checkable
class Stream(Protocol):
    """What text is written to: standard output, or a file."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


def console(file: Stream | None = None, *, markup: bool = False) -> Console:
    """A console on standard output or `file`: colours on a terminal unless NO_COLOR is set, plain text elsewhere."""
    stream = file or sys.stdout
    terminal = stream.isatty()
    coloured = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Console(
        file=cast(IO[str], stream),
        force_terminal=terminal,
        color_system="auto" if coloured else None,
        width=None if terminal else _PLAIN_WIDTH,  # a file is not cut at the width of a screen
        highlight=False,
        markup=markup,
        emoji=False,
        soft_wrap=True,
    )


def visible(text: str) -> str:
    """`text` for a terminal: what would move its cursor or change its state is spelt out."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def write(view: Console, text: str, style: str | None = None) -> None:
    """A piece of text, at once and without a line feed after it."""
    view.print(visible(text) if view.is_terminal else text, style=style, end="")
    view.file.flush()


class Reader:
    """Reads what a person says: a line, lines that end in a backslash, or a block between lines of three backticks.

    On a terminal lines have a history and can be edited, and the Tab key completes what begins with a slash.
    """

    def __init__(self, commands: Sequence[str] = ()):
        self._terminal = sys.stdin.isatty()
        self._readline = _readline(commands) if self._terminal else None

    def read(self, *, prefilled: str = "") -> str:
        """What is said next. Raises `EOFError` at the end (Ctrl-D), `KeyboardInterrupt` for Ctrl-C."""
        with self._prefilled(prefilled):
            line = self._line("> ")
        if line.strip() == _FENCE:
            return "\n".join(self._until_fence())
        lines = []
        while line.endswith("\\"):
            lines.append(line[:-1])
            line = self._line(". ")
        return "\n".join([*lines, line])

    def _line(self, prompt: str) -> str:
        return input(prompt if self._terminal else "")

    def _until_fence(self) -> Iterator[str]:
        while (line := self._line(". ")).strip() != _FENCE:
            yield line

    @contextlib.contextmanager
    def _prefilled(self, text: str) -> Iterator[None]:
        if self._readline is None or not text:
            yield
            return
        module = self._readline
        # A line editor edits one line: a question of several becomes one.
        module.set_startup_hook(lambda: module.insert_text(text.replace("\n", " ")))
        try:
            yield
        finally:
            module.set_startup_hook(None)


def edited(text: str) -> str | None:
    """`text` as it comes back from $VISUAL or $EDITOR; None where there is none, or no terminal to show it on."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor or not sys.stdin.isatty():
        return None
    with tempfile.NamedTemporaryFile("w+", suffix=".txt", encoding="utf-8", delete=False) as file:
        file.write(text)
    path = pathlib.Path(file.name)
    try:
        # An editor may well be named with arguments, such as "code --wait".
        done = subprocess.run([*shlex.split(editor), file.name], check=False)
        if done.returncode:
            return text
        return path.read_text(encoding="utf-8").rstrip("\n")
    finally:
        path.unlink()


def _readline(commands: Sequence[str]):
    """The line editor, completing `commands`; None where Python has none."""
    try:
        import readline
    except ImportError:  # as on Windows
        return None
    readline.set_completer_delims(" ")
    readline.set_completer(_completer(commands))
    readline.parse_and_bind("tab: complete")
    return readline


def _completer(commands: Sequence[str]) -> Callable[[str, int], str | None]:
    def complete(text: str, index: int) -> str | None:
        fitting = [command for command in commands if command.startswith(text)] if text.startswith("/") else []
        return fitting[index] if index < len(fitting) else None

    return complete
