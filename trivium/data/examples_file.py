"""A file of examples to tune on: one JSON object a line, in any of four forms.

{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]}
{"prompt": "...", "completion": "..."}
{"instruction": "...", "input": "...", "output": "..."}          "input" may be empty or absent
{"text": "..."}                                                  a document, all of it trained on
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from trivium.data.documents import read_text
from trivium.errors import DataError

FORMS = '{"messages": [...]}, {"prompt", "completion"}, {"instruction", "input", "output"} or {"text"}'


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line, checked: what is not in its form is empty."""

    form: Literal["messages", "pair", "instruction", "text"]
    """Which of the four it is."""
    messages: tuple[Mapping[str, Any], ...] = ()
    """The turns of a conversation, the last the assistant's."""
    prompt: str = ""
    """The prompt, or the instruction."""
    given: str = ""
    """The input that an instruction is about."""
    completion: str = ""
    """What is to be written: the completion, the output, or the whole text."""
    line: int = field(default=0, compare=False)
    """Where it stands in its file, counted from 1."""

    @property
    def asked(self) -> str:
        """What it asks, by which it is held out or not: two answers to one question stand on the same side."""
        if self.form == "messages":
            return next((turn["content"] for turn in self.messages if turn["role"] == "user"), "")
        return self.completion if self.form == "text" else self.prompt + self.given


def read_records(path: Path) -> list[Record]:
    """The examples of a .jsonl file. Raises `DataError` that names the first line that cannot be used."""
    records = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(replace(_record(json.loads(line)), line=number))
        except json.JSONDecodeError as error:
            raise _bad_line(path, number, "not JSON") from error
        except _Unusable as error:
            raise _bad_line(path, number, str(error)) from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets in brackets
            raise _bad_line(path, number, "a number too long or brackets too deep to read") from error
    return records


class _Unusable(Exception):
    """Why a line is no example."""


def _record(line: Any) -> Record:
    if not isinstance(line, dict):
        raise _Unusable("no JSON object")
    if "messages" in line:
        return Record(form="messages", messages=_conversation(line["messages"]))
    if "instruction" in line:
        prompt, completion = _texts(line, "instruction", "output")
        given = line.get("input") or ""
        if not isinstance(given, str):
            raise _Unusable("`input` is no text")
        return Record(form="instruction", prompt=prompt, given=given, completion=completion)
    if "prompt" in line or "completion" in line:
        prompt, completion = _texts(line, "prompt", "completion")
        return Record(form="pair", prompt=prompt, completion=completion)
    if "text" not in line:
        raise _Unusable(f"none of these forms; it has {', '.join(map(str, line)) or 'nothing'}"[:200])
    if not isinstance(line["text"], str) or not line["text"].strip():
        raise _Unusable("`text` is empty, or no text")
    return Record(form="text", completion=line["text"])


def _texts(line: Mapping[str, Any], prompt: str, completion: str) -> tuple[str, str]:
    if any(not isinstance(line.get(name), str) for name in (prompt, completion)):
        raise _Unusable(f"no texts `{prompt}` and `{completion}`")
    if not line[completion]:
        raise _Unusable(f"an empty {completion}")
    return line[prompt], line[completion]


def _conversation(messages: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(messages, list) or not messages:
        raise _Unusable("`messages` is no list of turns, or empty")
    for number, turn in enumerate(messages):
        if not isinstance(turn, dict) or any(not isinstance(turn.get(name), str) for name in ("role", "content")):
            raise _Unusable(f"message {number} has no texts `role` and `content`")
    if messages[-1]["role"] != "assistant":
        raise _Unusable("the last message is not the assistant's answer")
    if not messages[-1]["content"]:
        raise _Unusable("an empty answer")
    return tuple(messages)


def _bad_line(path: Path, number: int, reason: str) -> DataError:
    return DataError(
        "a line of the examples cannot be used",
        received=f"{path}, line {number}: {reason}",
        expected=FORMS,
        fix="correct or remove the line",
    )
