"""What `generate` continues: a text on the command line, on standard input, or a file of many."""

import io
import json
import pathlib
import sys

from trivium.errors import DataError, UserError


def read_prompts(prompt: str | None, file: pathlib.Path | None) -> list[str]:
    """The prompts of a file, the one that is given, or all of standard input as one.

    Raises `UserError` where there is none, or two places say what it is; `DataError` for what is not text.
    """
    if prompt is not None and file is not None:
        raise UserError("there are two places to read prompts from", received="--prompt and --input", fix="give one")
    if prompt is not None:
        return [_checked(prompt)]
    if file is not None:
        return _of_file(file)
    if sys.stdin.isatty():
        raise UserError(
            "there is nothing to continue",
            fix='give --prompt "Once upon a time", --input FILE, or text on standard input',
        )
    return [read_standard_input()]


def _checked(prompt: str) -> str:
    """A word of the command line, whose bytes need not be text."""
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise DataError("the prompt is not text", received=repr(prompt)[:80], expected="UTF-8") from error
    return prompt


def read_standard_input() -> str:
    """All of standard input. Raises `DataError` for what is not UTF-8, wherever it runs."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")  # some locales let any byte pass
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise DataError(
            "standard input is not text", received=error, expected="UTF-8", fix="convert it to UTF-8 first"
        ) from error


def _of_file(file: pathlib.Path) -> list[str]:
    """A prompt a line; of a .jsonl file a text, or the "prompt" of an object. Empty lines are passed over."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            "the prompts are not text", received=f"{file}: {error}", expected="UTF-8", fix="convert the file to UTF-8"
        ) from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise DataError("there are no prompts in this file", received=file, expected="one a line")
    if file.suffix != ".jsonl":
        return [line for _, line in numbered]
    return [_of_json(line, f"{file}, line {number}") for number, line in numbered]


def _of_json(line: str, where: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError("a line of the prompts is not JSON", received=f"{where}: {error}") from error
    prompt = value.get("prompt") if isinstance(value, dict) else value
    if not isinstance(prompt, str):
        raise DataError(
            "a line of the prompts holds none",
            received=f"{where}: {line[:80]}",
            expected='a text, or {"prompt": a text}',
        )
    return prompt
