"""Files of examples: four forms, and every unusable line named."""

import json
import pathlib

import pytest

from trivium.data.examples_file import Record, read_records
from trivium.errors import DataError

USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


def write(path: pathlib.Path, *lines: object) -> pathlib.Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n\n")
    return path


def test_four_forms(tmp_path: pathlib.Path) -> None:
    path = write(
        tmp_path / "examples.jsonl",
        {"messages": [USER, ASSISTANT], "id": 7},
        {"prompt": "a\u2028b", "completion": "c"},
        {"instruction": "Add", "input": "1 2", "output": "3"},
        {"instruction": "Sing", "output": "la", "input": None},
        {"text": "A document."},
    )
    assert read_records(path) == [
        Record(form="messages", messages=(USER, ASSISTANT)),
        Record(form="pair", prompt="a\u2028b", completion="c"),
        Record(form="instruction", prompt="Add", given="1 2", completion="3"),
        Record(form="instruction", prompt="Sing", completion="la"),
        Record(form="text", completion="A document."),
    ]
    assert [record.asked for record in read_records(path)] == ["Hi", "a\u2028b", "Add1 2", "Sing", "A document."]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "brackets too deep"),
        ('{"prompt": ' + "1" * 5000 + "}", "a number too long"),
        ([1], "no JSON object"),
        ({"question": "a"}, "none of these forms; it has question"),
        ({"prompt": "a"}, "no texts `prompt` and `completion`"),
        ({"prompt": "a", "completion": ""}, "an empty completion"),
        ({"instruction": "a", "output": 3}, "no texts `instruction` and `output`"),
        ({"instruction": "a", "output": "b", "input": ["c"]}, "`input` is no text"),
        ({"text": " "}, "`text` is empty"),
        ({"messages": []}, "no list of turns, or empty"),
        ({"messages": "Hi"}, "no list of turns"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "message 1 has no texts"),
        ({"messages": [USER]}, "not the assistant's answer"),
        ({"messages": [USER, {**ASSISTANT, "content": ""}]}, "an empty answer"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: pathlib.Path, line: object, message: str) -> None:
    path = write(tmp_path / "examples.jsonl", {"text": "first"}, line)
    with pytest.raises(DataError, match=f"examples.jsonl, line 2: .*{message}"):
        read_records(path)


def test_published_sets_are_read(shared_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lines = (shared_data / "instructions" / "self_instruct_seed_tasks.jsonl").read_text().splitlines()
    tasks = [json.loads(line) for line in lines]
    flat = [{"instruction": task["instruction"], **task["instances"][0]} for task in tasks]
    records = read_records(write(tmp_path / "flat.jsonl", *flat))
    assert len(records) == 175
    assert {record.form for record in records} == {"instruction"}
