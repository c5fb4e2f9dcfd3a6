"""`trivium align label`: shows answers to a rater, who ranks them; tells how well raters agree."""

import dataclasses
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from trivium.cli import arguments
from trivium.cli.output import print_json, print_settings
from trivium.cli.prompts import read_standard_input
from trivium.cli.terminal import Reader, console, write
from trivium.cli.verbs import Options, Verb
from trivium.data.readers.text import decode
from trivium.errors import DataError
from trivium.recipes.align.label import LabelConfig, open_sheet
from trivium.recipes.align.label_report import export, report
from trivium.recipes.align.label_sheet import Question, Sheet, spelt

_HELP = """the numbers of the answers, the best first and = between equal ones: 2 1=3; of two the better one is enough
s skips the question, b goes back to the one before, q leaves; what was said is kept"""
_SPEAKERS = {"user": "User", "assistant": "Assistant", "system": "System"}


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Asks the rater, if one is named; then tells and writes what is asked for. With --json one object."""
    config = arguments.parse(LabelConfig, verb, words)
    if options.dry_run:
        print_settings(config, options)
        return
    finished = False
    if config.rater is not None:
        sheet = open_sheet(config)
        view = console(sys.stderr if options.json else None)
        finished = Asking(sheet, view, _lines(config.answers)).run()
        if not finished:
            print(f"the same command goes on here; kept in {shlex.quote(str(config.output))}", file=sys.stderr)
    written = None if config.export is None else export(config.output, config.export)
    told = report(config.output) if finished or config.report else None
    if options.json:
        print_json(
            {
                "folder": str(config.output),
                "finished": finished,
                "exported": written,
                "report": None if told is None else dataclasses.asdict(told),
            }
        )
        return
    if told is not None:
        print(told.told)
    if written is not None:
        print(f"{written:,} rankings written to {shlex.quote(str(config.export))}")


class Asking:
    """The questions as a person sees them, and what they type."""

    def __init__(self, sheet: Sheet, view: Console, lines: Iterator[tuple[str, str]] | None):
        """``lines``: what is typed, and where it stands, in the place of a person."""
        self._sheet = sheet
        self._view = view
        self._lines = lines
        self._reader = Reader()

    def run(self) -> bool:
        """Asks until everything is answered: True; or until the rater leaves: False.

        Raises `DataError` for a line of a file that is no answer; a person is told and asked again.
        """
        shown = None
        if self._lines is None:
            write(self._view, f"{_HELP}\n", "dim")
        while (question := self._sheet.question) is not None:
            if question != shown:
                self._show(question, whole=shown is None or question.messages != shown.messages)
                shown = question
            words, where = self._typed()
            if words.lower() in ("q", "quit"):
                return False
            try:
                self._obey(words)
            except DataError as error:
                if self._lines is not None:
                    raise DataError(
                        error.what, received=f"{where}: {error.received}", expected=error.expected
                    ) from error
                write(self._view, f"{error.what}: {error.expected}\n", "yellow")
        return True

    def _typed(self) -> tuple[str, str]:
        """What is typed, and where it stands; at the end that the rater leaves."""
        if self._lines is not None:
            return next(self._lines, ("q", "the end"))
        try:
            return self._reader.read().strip(), "the terminal"
        except EOFError:
            return "q", "the end"

    def _obey(self, words: str) -> None:
        match words.lower():
            case "s" | "skip":
                self._sheet.skip()
            case "b" | "back":
                if not self._sheet.back():
                    write(self._view, "this is the first question\n", "yellow")
            case "" | "?" | "h" | "help":
                write(self._view, f"{_HELP}\n", "dim")
            case _:
                self._sheet.answer(words)

    def _show(self, question: Question, *, whole: bool) -> None:
        """The question; ``whole``: with the conversation and the answers, where they are not on the screen."""
        if whole:
            self._view.rule(style="dim") if self._view.is_terminal else write(self._view, "---\n")
            for turn in question.messages:
                write(self._view, f"{_SPEAKERS.get(turn['role'], turn['role'])}: ", "bold")
                write(self._view, f"{turn['content']}\n")
            for number, answer in enumerate(question.answers, start=1):
                write(self._view, f"\n[{number}] ", "bold cyan")
                write(self._view, f"{answer.strip()}\n")
        about = f": {question.description}" if question.description else ""
        write(self._view, f"\n({question.number} of {question.count}) {question.criterion}{about}\n", "bold")
        if question.said is not None:
            write(self._view, f"you said {spelt(question.said)}\n", "dim")


def _lines(file: Path | None) -> Iterator[tuple[str, str]] | None:
    """What stands in a file, or on standard input, in the place of a person, and where; None where there is a person.
    Empty lines and those that begin with # are passed over."""
    if file is None and sys.stdin.isatty():
        return None
    text = read_standard_input() if file is None else decode(file.read_bytes(), "utf-8")
    name = "standard input" if file is None else file
    return (
        (line.strip(), f"{name}, line {number}")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    )
