"""The prompts of a policy: in which forms they are read, and which of them are held out."""

import json
from pathlib import Path
from typing import Any

import pytest

from trivium.data.splits import is_held_out
from trivium.errors import DataError
from trivium.lm.turns import PromptFormat
from trivium.recipes.align.prompts import Prompt, read_prompts, split_prompts


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(*texts: str) -> tuple[dict[str, str], ...]:
    """What is said in turn, by the user first."""
    return tuple({"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts))


def read(path: Path, prompt_format: PromptFormat = "chat") -> list[Prompt]:
    return read_prompts(path, prompt_format=prompt_format)


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("row", "messages", "wanted"),
    [
        ({"messages": [*said("hi")]}, said("hi"), None),
        ({"messages": [*said("hi", "hello", "well?")]}, said("hi", "hello", "well?"), None),
        ({"messages": [*said("hi", "hello")]}, said("hi"), "hello"),
        ({"messages": [*said("hi")], "system": "Be brief."}, (SYSTEM, *said("hi")), None),
        ({"messages": [SYSTEM, *said("hi")]}, (SYSTEM, *said("hi")), None),
        ({"conversations": [{"from": "human", "value": "hi"}]}, said("hi"), None),
        (
            {"conversations": [{"from": "human", "value": "hi"}, {"from": "chatgpt", "value": "hello"}]},
            said("hi"),
            "hello",
        ),
        ({"prompt": [*said("hi")]}, said("hi"), None),
        ({"prompt": "hi"}, said("hi"), None),
        ({"prompt": "hi", "completion": None}, said("hi"), None),
        ({"prompt": "hi", "completion": "hello"}, said("hi"), "hello"),
        # As UltraChat has it: what is asked first, and the whole of what followed.
        ({"prompt": "hi", "messages": [*said("hi", "hello")]}, said("hi"), None),
        ({"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"}, said("a", "b", "c"), None),
        ({"question": "why?", "id": 3}, said("why?"), None),
        ({"instruction": "Add.", "input": "1 2"}, said("Add.\n\n1 2"), None),
        ({"instruction": "Add.", "input": "1 2", "output": "3"}, said("Add.\n\n1 2"), "3"),
        ({"chosen": [*said("hi", "x")], "rejected": [*said("hi", "y")]}, said("hi"), None),
    ],
)
def test_rows_of_every_form(tmp_path: Path, row: Any, messages: Any, wanted: str | None) -> None:
    (found,) = read(written(tmp_path / "prompts.jsonl", row))
    assert ([dict(turn) for turn in found.messages], found.wanted) == (list(messages), wanted)


def test_rows_with_and_without_an_answer_may_stand_in_one_file(tmp_path: Path) -> None:
    rows = {"messages": [*said("a")]}, {"messages": [*said("b", "c")]}, {"prompt": "d"}
    found = read(written(tmp_path / "prompts.jsonl", *rows))
    assert [(prompt.text, prompt.wanted) for prompt in found] == [("a", None), ("b", "c"), ("d", None)]


def test_plain_text_is_what_stands_there(tmp_path: Path) -> None:
    dialogue = "\n\nHuman: a\n\nAssistant:"
    rows = {"prompt": dialogue}, {"messages": [*said("b")]}, {"instruction": "Add.", "input": "1 2"}
    found = read(written(tmp_path / "prompts.jsonl", *rows), "plain")
    assert [prompt.text for prompt in found[:2]] == [dialogue, "b"]
    (answered,) = read(written(tmp_path / "answered.jsonl", {**rows[2], "output": "3"}), "plain")
    assert found[2].text == answered.text != "Add.\n\n1 2"


def test_a_folder_is_all_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("\ufeffone\n\n two \n", encoding="utf-8")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "z.txt").write_text("zero\none\n")
    (tmp_path / "notes.md").write_text("no prompt")
    (tmp_path / ".hidden.txt").write_text("no prompt")
    assert [prompt.text for prompt in read(tmp_path)] == ["zero", "one", "two"]
    written(tmp_path / "c.jsonl", {"prompt": "three"})
    written(tmp_path / "d.jsonl", {"prompt": "four", "chosen": "x", "rejected": "y"})
    assert [prompt.text for prompt in read(tmp_path)] == ["zero", "one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": []}, "empty"),
        ({"messages": [{"role": "user", "content": " "}]}, "is empty"),
        ({"messages": [{"role": "judge", "content": "hi"}]}, "the roles are"),
        ({"messages": [*said("hi"), *said("ho")]}, "both the user's"),
        ({"prompt": 3}, "no list of turns"),
        ({"text": "a document"}, "a text has no prompt"),
        ({"question": "why?", "answer": "so"}, "none of these forms"),
        ({"id": 3}, "none of these forms"),
    ],
)
def test_a_row_that_is_no_prompt_is_refused_with_its_place(tmp_path: Path, row: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as refused:
        read(written(tmp_path / "prompts.jsonl", {"prompt": "first"}, row))
    assert "prompts.jsonl, line 2" in str(refused.value)


def test_what_holds_no_prompt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match=r"(?s)no examples in the folder.*\.txt"):
        read(tmp_path)
    (tmp_path / "prompts.txt").write_text("\n")
    with pytest.raises(DataError, match="there are no prompts"):
        read(tmp_path)
    (tmp_path / "prompts.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(DataError, match=r"(?s)UTF-8.*prompts\.txt"):
        read(tmp_path / "prompts.txt")


def prompts(texts: list[str]) -> list[Prompt]:
    return [Prompt(messages=said(text), wanted=None) for text in texts]


def test_one_in_ten_is_held_out_and_of_few_at_least_one() -> None:
    many = split_prompts(prompts([f"prompt {n}" for n in range(200)]), None, 64)
    assert {prompt.text for prompt in (*many.held_out, *many.unseen)} == {
        f"prompt {n}" for n in range(200) if is_held_out(f"prompt {n}", 0.1)
    }
    never = [f"prompt {n}" for n in range(200) if not is_held_out(f"prompt {n}", 0.1)]
    always = [f"prompt {n}" for n in range(200) if is_held_out(f"prompt {n}", 0.1)]
    for texts in (never, always):
        for count in (2, 3, 5):
            few = split_prompts(prompts(texts[:count]), None, 64)
            apart = [prompt.text for prompt in (*few.held_out, *few.unseen)]
            assert few.training and few.held_out
            assert len(apart) == (1 if texts is never else count - 1)
            assert sorted(apart + [prompt.text for prompt in few.training]) == sorted(texts[:count])


def test_one_prompt_is_learnt_from_or_watched() -> None:
    with pytest.raises(DataError, match=r"(?s)one prompt.*2 prompts or more.*--validation"):
        split_prompts(prompts(["alone"]), None, 64)
    split = split_prompts(prompts(["alone"]), prompts(["another"]), 64)
    assert [prompt.text for prompt in split.training] == ["alone"]
