"""Files of examples: every form, every kind of file, folders; and every unusable line named."""

import gzip
import json
import pathlib
import zipfile

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from trivium.data.columns import columns_of
from trivium.data.examples_file import Record, read_records, told
from trivium.errors import ConfigError, DataError

USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


def write(path: pathlib.Path, *lines: object) -> pathlib.Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n\n")
    return path


def test_every_form(tmp_path: pathlib.Path) -> None:
    path = write(
        tmp_path / "examples.jsonl",
        {"messages": [USER, ASSISTANT], "id": 7},
        {"prompt": "a\u2028b", "completion": "c"},
        {"instruction": "Add", "input": "1 2", "output": "3"},
        {"instruction": "Sing", "output": "la", "input": None},
        {"text": "A document.", "label": 3, "group": "g", "task": None},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"prompt": "only part of a form", "messages": [USER, ASSISTANT]},
    )
    records = read_records(path)
    assert records == [
        Record(form="messages", messages=(USER, ASSISTANT)),
        Record(form="pair", prompt="a\u2028b", completion="c"),
        Record(form="instruction", prompt="Add", given="1 2", completion="3"),
        Record(form="instruction", prompt="Sing", completion="la"),
        Record(form="text", completion="A document.", label="3", group="g"),
        Record(form="messages", messages=(USER, ASSISTANT)),
        Record(form="messages", messages=(USER, ASSISTANT)),
    ]
    assert [record.asked for record in records] == ["Hi", "a\u2028b", "Add1 2", "Sing", "g", "Hi", "Hi"]
    assert [record.line for record in records] == [1, 2, 3, 4, 5, 6, 7]
    assert records[2].where == f"{path}, line 3"
    said = told(records)
    assert said.startswith("7 examples: 2 messages, 2 instruction/input/output")
    assert "1 ShareGPT" in said and "1 text" in said and "tasks" not in said


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"prompt": ' + "1" * 5000 + "}", "not JSON"),
        ([1], "no JSON object"),
        ('{"text": "a", "text": "b"}', "a name stands twice in one record.*'text'"),
        ('{"messages": [{"role": "user", "role": "assistant", "content": "b"}]}', "twice in one record.*'role'"),
        ({"question": "a"}, "none of these forms; it has question.*prompt=question"),
        ({"prompt": "a"}, "prompt/completion without `completion`; it has prompt"),
        ({"prompt": "a", "chosen": "b"}, "without `completion`; it has prompt, chosen"),
        ({"prompt": "a", "completion": None}, "prompt/completion without `completion`"),
        ({"prompt": "a", "completion": " \n"}, "an empty completion"),
        ({"prompt": ["a"], "completion": "b"}, "`prompt` is a list"),
        ({"instruction": "a", "output": 3}, "`output` is a int"),
        ({"instruction": " ", "output": "a"}, "an empty instruction"),
        ({"instruction": "a", "output": "b", "input": ["c"]}, "`input` is no text"),
        ({"instruction": "a", "output": "b", "text": "c"}, "fits two forms, instruction/output and text"),
        ({"messages": [USER, ASSISTANT], "prompt": "a", "completion": "b"}, "fits two forms, messages and prompt"),
        ({"text": " "}, "`text` is empty"),
        ({"messages": []}, "no list of turns"),
        ({"messages": [USER]}, "not the assistant's answer"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: pathlib.Path, line: object, message: str) -> None:
    path = write(tmp_path / "examples.jsonl", {"text": "first"}, line)
    with pytest.raises(DataError, match=rf"(?s){message}") as caught:
        read_records(path)
    assert "examples.jsonl, line 2" in str(caught.value) or "examples.jsonl:2" in str(caught.value)


PAIRS = [{"question": "1 + 1?", "answer": "2", "id": "a"}, {"question": "Who, then?", "answer": "I", "id": "b"}]
RECORDS = [
    Record(form="pair", prompt="1 + 1?", completion="2"),
    Record(form="pair", prompt="Who, then?", completion="I"),
]


def tables(folder: pathlib.Path) -> list[pathlib.Path]:
    folder.mkdir()
    csv = 'question,answer,id\n1 + 1?,2,a\n"Who, then?",I,b\n'
    (folder / "a.csv").write_text(csv)
    (folder / "b.tsv").write_text("question\tanswer\tid\n1 + 1?\t2\ta\nWho, then?\tI\tb\n")
    (folder / "c.json").write_text(json.dumps(PAIRS))
    (folder / "d.csv.gz").write_bytes(gzip.compress(csv.encode()))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PAIRS), folder / "e.parquet")
    write(folder / "f.jsonl", *PAIRS)
    return sorted(folder.iterdir())


def test_columns_are_named_in_every_kind_of_file(tmp_path: pathlib.Path) -> None:
    columns = columns_of(["prompt=question,completion=answer"])
    files = tables(tmp_path / "set")
    for file in files:
        assert read_records(file, columns=columns) == RECORDS, file.name
    (tmp_path / "set" / "README.md").write_text("no examples")
    (tmp_path / "set" / ".hidden.jsonl").write_text("no JSON")
    everything = read_records(tmp_path / "set", columns=columns)
    assert everything == RECORDS * len(files)
    assert everything[-1].where.endswith("f.jsonl, line 2") and everything[-3].where.endswith("e.parquet, row 2")
    grouped = read_records(files[0], columns={**columns, "group": "id"})
    assert [record.asked for record in grouped] == ["a", "b"]


def test_a_column_that_is_not_there_is_told(tmp_path: pathlib.Path) -> None:
    file = tables(tmp_path / "set")[0]
    with pytest.raises(DataError, match=r"(?s)no column `questoin`.*a.csv, line 2.*did you mean question"):
        read_records(file, columns={"prompt": "questoin", "completion": "answer"})
    with pytest.raises(ConfigError, match=r"(?s)no example has.*did you mean completion"):
        read_records(file, columns={"prompt": "question", "competion": "answer"})
    with pytest.raises(DataError, match=r"(?s)none of these forms; it has question, answer, id.*prompt=question"):
        read_records(file)
    (tmp_path / "twice.csv").write_text("prompt,completion,prompt\na,b,c\n")
    with pytest.raises(DataError, match=r"(?s)same name.*twice.csv: 'prompt'"):
        read_records(tmp_path / "twice.csv")


def test_what_holds_no_examples_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "README.md").write_text("no examples")
    with pytest.raises(DataError, match="no examples in the folder"):
        read_records(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read_records(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match="there are no examples"):
        read_records(write(tmp_path / "empty.csv", "prompt,completion"))
    with pytest.raises(DataError, match="kind of file"):
        read_records(tmp_path / "README.md")


def test_columns_as_people_write_them() -> None:
    expected = {"prompt": "question", "completion": "answer"}
    assert columns_of(["prompt=question,completion=answer"]) == expected
    assert columns_of(["prompt=question", "completion= answer"]) == expected
    assert columns_of(["prompt=question, as asked", "completion=a"]) == {
        "prompt": "question, as asked",
        "completion": "a",
    }
    for wrong, message in ((["prompt"], "pairs with ="), (["=a"], "pairs with ="), (["a=b,a=c"], "name a twice")):
        with pytest.raises(ConfigError, match=message):
            columns_of(wrong)


def test_published_sets_are_read(shared_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lines = (shared_data / "instructions" / "self_instruct_seed_tasks.jsonl").read_text().splitlines()
    tasks = [json.loads(line) for line in lines]
    flat = [{"instruction": task["instruction"], **task["instances"][0]} for task in tasks]
    records = read_records(write(tmp_path / "flat.jsonl", *flat))
    assert len(records) == 175 and {record.form for record in records} == {"instruction"}

    calls = read_records(shared_data / "instructions" / "glaive_toolcall_en_demo.json")
    assert told(calls) == "300 examples: 300 ShareGPT"
    turns = [turn for record in calls for turn in record.messages]
    assert {turn["role"] for turn in turns} == {"system", "user", "assistant", "tool"}
    called = [turn["tool_calls"][0]["function"]["name"] for turn in turns if "tool_calls" in turn]
    assert len(called) == 211 and "search_recipes" in called

    assert told(read_records(shared_data / "nc-alpaca-demo")) == "1,999 examples: 1,999 instruction/input/output"
    chosen = read_records(shared_data / "hh_rlhf", columns={"text": "chosen"})
    assert len(chosen) == 2312 and chosen[0].completion.startswith("\n\nHuman:")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("instructions/oasst_en_100_tree.jsonl", r"line 1: prompt/completion without `completion`"),
        ("instructions/oasst_prompt_lottery_en_250.jsonl", "no JSON object"),
        ("instructions/self_instruct_seed_tasks.jsonl", r"line 1: instruction/output without `output`; .*instances"),
        ("hh_rlhf", r"harmless-base-test.jsonl.gz, line 1: none of these forms; it has chosen, rejected"),
        ("mt_bench/question.jsonl", r"line 1: none of these forms; it has question_id, category, turns"),
        ("chatterbot", "no examples in the folder"),
    ],
)
def test_published_sets_of_other_forms_are_refused(shared_data: pathlib.Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"(?s){message}"):
        read_records(shared_data / name)


def test_the_conversations_of_chatterbot(shared_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Its YAML, turn about; those with an odd number of turns end with the user, and are named."""
    with zipfile.ZipFile(shared_data / "chatterbot" / "chatterbot_corpus.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith("english/conversations.yml"))
        talks = yaml.safe_load(archive.read(name))["conversations"]
    roles = ("user", "assistant")
    lines = [
        {"messages": [{"role": roles[n % 2], "content": str(said)} for n, said in enumerate(talk)]} for talk in talks
    ]
    even = [line for line in lines if len(line["messages"]) % 2 == 0]
    odd = next(line for line in lines if len(line["messages"]) % 2)
    assert len(read_records(write(tmp_path / "even.jsonl", *even))) == len(even) > 10
    with pytest.raises(DataError, match=rf"line {len(even) + 1}: the last message is not the assistant's"):
        read_records(write(tmp_path / "odd.jsonl", *even, odd))
