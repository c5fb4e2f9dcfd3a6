"""A shell of one word, `trivium`, on a pseudo-terminal: what a person would see and could type.

    with Shell() as shell:
        shell.type("generate MODEL --prompt the")
        shell.end()                 -> (what was shown, exit code)

Run as a script it is the shell itself: torch is loaded once, and each command line is carried out by a fork. It knows
`NAME=value` before a command, and `> FILE` and `2> FILE` after it.
"""

import os
import pathlib
import re
import shlex
import signal
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
_PROMPT = "$ "
_EXIT = re.compile(r"\[exit (\d+)\]\r?\n")
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[a-zA-Z]|[=>])")


class Shell:
    """The other end of the pseudo-terminal."""

    def __init__(self, *, columns: int = 100, cwd: pathlib.Path = ROOT):
        import pexpect

        changes = {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "COLUMNS": str(columns), "INPUTRC": "/dev/null"}
        environment = {**os.environ, **changes}
        for name in ("NO_COLOR", "EDITOR", "VISUAL", "PYTEST_CURRENT_TEST"):
            environment.pop(name, None)
        self.process: Any = pexpect.spawn(
            sys.executable,
            ["-W", "ignore", str(pathlib.Path(__file__))],
            cwd=str(cwd),
            env=environment,
            dimensions=(50, columns),
            encoding="utf-8",
            timeout=60,
        )
        self.process.expect_exact(_PROMPT)

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.close(force=True)

    def type(self, line: str) -> None:
        """A line, with the key that sends it."""
        self.process.sendline(line)
        self.process.expect_exact("\n")  # the terminal's echo

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.sendintr()

    def see(self, text: str) -> str:
        """Waits until this is shown, and gives all that was shown before it."""
        self.process.expect_exact(text)
        return self.process.before

    def end(self) -> tuple[str, int]:
        """Waits for the end of the command: (what was shown, exit code)."""
        self.process.expect(_EXIT)
        shown, code = self.process.before, int(self.process.match[1])
        self.process.expect_exact(_PROMPT)
        return shown, code

    def run(self, line: str) -> tuple[str, int]:
        """Types a command and waits for its end."""
        self.type(line)
        return self.end()


def plain(text: str) -> str:
    """What was shown, without colours and the like."""
    return _ESCAPES.sub("", text).replace("\r\n", "\n")


def _serve() -> None:
    from trivium.cli import chat, doctor, filters, generate, models, predict, prepare, recipe, tokenize, train  # noqa: F401
    from trivium.cli.dry_run import tasks, training  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        sys.stdout.write(_PROMPT)
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return
        child = os.fork()
        if not child:
            _obey(shlex.split(line))
        _, status = os.waitpid(child, 0)
        print(f"[exit {os.waitstatus_to_exitcode(status) % 256}]", flush=True)


def _obey(words: list[str]) -> None:
    """In the forked process: carries out one command line and ends with its exit code."""
    from trivium.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        os.environ[name] = value
    for sign, descriptor in (("2>", 2), (">", 1)):
        if sign in words:
            at = words.index(sign)
            os.dup2(os.open(words[at + 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
            del words[at : at + 2]
    code = main.main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
