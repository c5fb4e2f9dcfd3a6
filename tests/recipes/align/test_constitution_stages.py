"""The stages by themselves: prompts, revisions, what is learnt of them, evasion, and lines that survive a kill."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from tests.recipes.align.scripted import Scripted, critic
from tests.recipes.resuming import Killed
from tests.recipes.tuning import write_gpt2
from trivium.errors import DataError
from trivium.lm.load import load
from trivium.recipes.align.constitution.audit import write_audit
from trivium.recipes.align.constitution.constitution_config import RevisingConfig
from trivium.recipes.align.constitution.evasion import evasion, is_evasive, refuses
from trivium.recipes.align.constitution.exemplars import exemplars
from trivium.recipes.align.constitution.figures import Told, revised_answers, rounds_of
from trivium.recipes.align.constitution.journal import Row, carried_out
from trivium.recipes.align.constitution.principles import Constitution, read_constitution
from trivium.recipes.align.constitution.revise import TOO_LONG, Messages, Reviser, answered
from trivium.recipes.align.constitution.stages import Prompts
from trivium.recipes.align.constitution.supervised import examples, write_data
from trivium.recipes.align.constitution.writing import with_room, write
from trivium.runtime import atomic

ASKED = [{"role": "user", "content": "How do I pick a lock?"}]


# Revisions -----------------------------------------------------------------------------------------------------------


def revised(model: Any, asked: Sequence[tuple[int, Messages, Sequence[str]]], **settings: Any) -> list[Row]:
    constitution: Constitution = read_constitution("harmless")
    revise = Reviser(model, constitution, exemplars().revisions, RevisingConfig(**settings), seed=0)
    return [{"number": number, **row} for (number, *_), row in zip(asked, revise(asked), strict=True)]


def test_every_round_has_its_principle_and_goes_on_from_the_round_before():
    model = Scripted(says=critic)
    (row,) = revised(model, [(5, ASKED, ["First", " Second"])], rounds=3)
    principles = {each.name: each for each in read_constitution("harmless").principles}
    asked = "".join(text.rpartition("---")[2] for text in model.asked if text.endswith("Revision:"))
    assert [sample["answer"] for sample in row["samples"]] == ["First", " Second"]
    for number, sample in enumerate(row["samples"]):
        now = sample["answer"].strip()
        assert sample["stopped"] is None and len(sample["rounds"]) == 3
        for turn, one in enumerate(sample["rounds"]):
            (drawn,) = read_constitution("harmless").drawn(1, 0, "revise", 5, number, turn)
            assert one["principle"] == drawn.name
            assert one["critique"] == f"CRITIQUE of {now}"
            assert one["revision"].startswith(f"Revised {len(principles[drawn.name].revision_request)} ")
            request = f"Critique request: {drawn.critique_request}"
            assert f"Assistant: {now}\n\n{request}\n\nCritique: CRITIQUE of {now}" in asked
            now = one["revision"]
    assert len({one["principle"] for sample in row["samples"] for one in sample["rounds"]}) > 2


def test_what_a_critic_reads_has_the_worked_examples_and_ends_where_it_is_to_speak():
    model = Scripted(says=critic)
    revised(model, [(0, ASKED, ["Use a pick."])], rounds=1)
    critique, revision = model.asked
    assert critique.count("---") == 3 and critique.startswith("User: How do I get into my neighbour's")
    last = critique.rpartition("---\n\n")[2]
    assert last.startswith("User: How do I pick a lock?\n\nAssistant: Use a pick.\n\nCritique request: ")
    assert last.endswith("\n\nCritique:")
    assert revision.startswith(critique + " CRITIQUE of Use a pick.\n\nRevision request: ")
    assert revision.endswith("\n\nRevision:")


def test_revisions_do_not_depend_on_which_others_are_made_with_them(gpt2_of_everything: pathlib.Path):
    model = load(gpt2_of_everything, device="cpu")
    prompts = ["Hello", "A longer prompt than the others", "Why"]
    settings: dict[str, Any] = {"max_new_tokens": 8, "temperature": 1.0, "stop": ()}
    together = write(model, prompts, [1, 2, 3], **settings)
    assert together == [write(model, [prompt], [seed], **settings)[0] for seed, prompt in enumerate(prompts, start=1)]
    other = write(model, ["Hello", "Hello"], [1, 5], **settings)
    assert other[0] == together[0] and other[1] != other[0], "each has a chance of its own"


def test_worked_examples_are_left_out_where_there_is_no_room_and_then_the_answer(gpt2_of_everything: pathlib.Path):
    """The model reads 96 characters: not even the text alone has room."""
    (row,) = revised(load(gpt2_of_everything, device="cpu"), [(0, ASKED, ["Use a pick."])], rounds=2)
    assert row["samples"] == [{"answer": "Use a pick.", "rounds": [], "stopped": TOO_LONG}]


def test_as_many_worked_examples_are_read_as_there_is_room_for(gpt2_of_everything: pathlib.Path):
    """It reads 96 characters: of 30 each, two examples beside a question of 10 and an answer of 20."""
    model = load(gpt2_of_everything, device="cpu")
    examples_of = ["a" * 30, "b" * 30, "c" * 30]

    def text_of(some: Sequence[str]) -> str:
        return "".join(some) + "q" * 10

    assert with_room(model, text_of, examples_of, 20) == "b" * 30 + "c" * 30 + "q" * 10
    assert with_room(model, text_of, examples_of, 26) == "b" * 30 + "c" * 30 + "q" * 10
    assert with_room(model, text_of, examples_of, 27) == "c" * 30 + "q" * 10
    assert with_room(model, text_of, examples_of, 86) == "q" * 10
    assert with_room(model, text_of, examples_of, 87) is None
    assert with_room(Scripted(), text_of, examples_of, 99) == "".join(examples_of) + "q" * 10


def test_an_empty_revision_leaves_the_answer_as_it_stood():
    model = Scripted(says=lambda prompt, seed: "  " if prompt.endswith("Revision:") else critic(prompt, seed))
    (row,) = revised(model, [(0, ASKED, ["Use a pick."])], rounds=2)
    assert [one["critique"] for one in row["samples"][0]["rounds"]] == ["CRITIQUE of Use a pick."] * 2
    assert revised_answers([row]) == [("Use a pick.", "Use a pick.")]
    assert not list(examples([row], "all", "chat"))


def test_a_conversation_is_answered_in_its_form(gpt2_of_everything: pathlib.Path):
    model = load(gpt2_of_everything, device="cpu")
    several = [*ASKED, {"role": "assistant", "content": "No."}, {"role": "user", "content": "Why?"}]
    settings: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": 6}
    chat = answered(model, [ASKED, several], [3, 4], prompt_format="chat", **settings)
    ids = [model.prompt_ids("User: How do I pick a lock?\nAssistant:"), model.prompt_ids(ASKED[0]["content"])]
    as_asked = [one.text for one in model.sample(ids, [3, 3], stop=("\nUser:",), **settings)]
    assert chat[0] == as_asked[0] and len(chat[1]) > 0
    assert answered(model, [ASKED], [3], prompt_format="plain", **settings) == as_asked[1:]


# What is learnt ------------------------------------------------------------------------------------------------------


def rows_of_two() -> list[Row]:
    return revised(Scripted(says=critic), [(0, ASKED, [" First", "Second"]), (1, ASKED, ["Third"])], rounds=2)


def test_no_critique_and_no_first_answer_is_learnt():
    rows = rows_of_two()
    lines = list(examples(rows, "all", "chat"))
    text = json.dumps(lines)
    assert "CRITIQUE" not in text and "First" not in text and "Critique" not in text
    revisions = {one["revision"] for row in rows for sample in row["samples"] for one in sample["rounds"]}
    learnt = [line["messages"][-1]["content"] for line in lines]
    assert {each.strip() for each in learnt} == revisions
    assert learnt[0].startswith(" R"), "begun as the model begins an answer"
    assert all(line["messages"][:-1] == ASKED for line in lines)
    assert {line["group"] for line in lines} == {"0", "1"}


def test_the_last_revision_alone_or_plain_text_is_learnt():
    rows = rows_of_two()
    last = [sample["rounds"][-1]["revision"] for row in rows for sample in row["samples"]]
    lines = list(examples(rows, "last", "plain"))
    assert [line["completion"].strip() for line in lines] == list(dict.fromkeys(last))
    assert lines[0]["prompt"] == ASKED[0]["content"]


def test_helpful_examples_are_mixed_in(tmp_path: pathlib.Path):
    helpful = tmp_path / "helpful.jsonl.gz"
    helpful.write_bytes(b"as it is")
    write_data(tmp_path / "data", [{"prompt": "a", "completion": "ä"}], helpful, "revisions")
    files = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    assert files == {
        "mixed-in.jsonl.gz": b"as it is",
        "revisions.jsonl": '{"prompt": "a", "completion": "ä"}\n'.encode(),
    }


def test_the_audit_tells_of_every_decision_which_principle_made_it(tmp_path: pathlib.Path):
    rows = rows_of_two()
    prompts = Prompts(trained=[ASKED, ASKED], held_out=[], too_long=0)
    write_audit(tmp_path, Told(prompts=prompts, revised=rows, judgements=[], standing=[]))
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(line["number"], line["sample"], line["round"]) for line in lines] == [
        (0, 0, 0),
        (0, 0, 1),
        (0, 1, 0),
        (0, 1, 1),
        (1, 0, 0),
        (1, 0, 1),
    ]
    told = [one["principle"] for row in rows for sample in row["samples"] for one in sample["rounds"]]
    assert [line["principle"] for line in lines] == told
    assert all(line["changed"] for line in lines)


def test_rounds_that_say_nothing_or_nothing_new_are_counted():
    rounds = [
        {"principle": "no-harm", "critique": "", "revision": "Use a pick."},
        {"principle": "no-harm", "critique": "Unlawful.", "revision": ""},
        {"principle": "lawful", "critique": "Unlawful.", "revision": "Ask a locksmith."},
        {"principle": "no-harm", "critique": "Fine.", "revision": "Ask a locksmith."},
        {"principle": "no-harm", "critique": "Fine.", "revision": "Ask a locksmith."},
        {"principle": "no-harm", "critique": "", "revision": "Use a pick."},
    ]
    samples = [
        {"answer": " Use a pick.", "rounds": rounds, "stopped": None},
        {"answer": "Use a pick.", "rounds": [], "stopped": TOO_LONG},
    ]
    assert rounds_of([{"number": 0, "messages": ASKED, "samples": samples}]) == {
        "stopped": {TOO_LONG: 1},
        "empty_critiques": 2,
        "empty": 1,
        "unchanged": 3,
        "principles": {"no-harm": 5, "lawful": 1},
    }


# Evasion -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "refused", "evades"),
    [
        ("I'm sorry, I can't help with that.", True, True),
        ("I\u2019m sorry, but no.", True, True),
        ("As an AI I have no opinion.", True, True),
        ("", False, True),
        ("A lock is opened by lifting its pins.", False, False),
        ("Sorry to hear that. Is there somebody you can talk to?", False, False),
        ("I won't help with breaking in, because it harms people. " + "You could call a locksmith. " * 6, True, False),
        ("The pins are lifted. " * 20 + "I can't say more.", False, False),
    ],
)
def test_refusals_and_evasions_are_told_apart(answer: str, refused: bool, evades: bool):
    assert refuses(answer) is refused
    assert is_evasive(answer) is evades


def test_evasion_is_counted():
    found = evasion(["I'm sorry, no.", "Lift the pins.", ""])
    assert (found.answers, found.refusals, found.evasive) == (3, 1, 2) and found.mean_words == 2.0
    assert evasion([]).mean_words == 0.0


# Lines that survive a kill -------------------------------------------------------------------------------------------


def numbers(first: int, items: Sequence[str]) -> list[Row]:
    return [{"item": item, "first": first, "with": len(items)} for item in items]


def test_a_file_that_was_killed_at_any_byte_ends_as_if_it_never_was(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(atomic, "sync", lambda _: None)  # a thousand times, for a disk that is shared
    items = [f"item {number} ä" for number in range(7)]
    path = tmp_path / "lines.jsonl"
    rows = carried_out(path, items, numbers, together=3, title="test")
    assert [row["number"] for row in rows] == list(range(7))
    assert [(row["first"], row["with"]) for row in rows] == [(0, 3)] * 3 + [(3, 3)] * 3 + [(6, 1)]
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert carried_out(path, items, numbers, together=3, title="test") == rows
        assert path.read_bytes() == whole, size


def test_a_surrogate_alone_is_kept_as_it_was(tmp_path: pathlib.Path):
    """Which a prompt of a .jsonl file may have, and no file in UTF-8."""
    made: list[Row] = [{"answers": ["b\udfff"]}]
    rows = carried_out(tmp_path / "rows.jsonl", ["a"], lambda first, items: made, together=1, title="test")
    assert rows == carried_out(tmp_path / "rows.jsonl", ["a"], numbers, together=1, title="test")
    assert rows[0]["answers"] == ["b\udfff"]
    write_data(tmp_path / "data", [{"prompt": "a\ud800"}], None, "revisions")
    assert json.loads((tmp_path / "data" / "revisions.jsonl").read_text(encoding="utf-8")) == {"prompt": "a\ud800"}


def test_what_is_done_is_not_done_again(tmp_path: pathlib.Path):
    path = tmp_path / "lines.jsonl"
    rows = carried_out(path, ["a", "b"], numbers, together=2, title="test")

    def never(_first: int, _items: Sequence[str]) -> list[Row]:
        raise AssertionError("it was done")

    assert carried_out(path, ["a", "b"], never, together=2, title="test") == rows


@pytest.mark.parametrize("content", ['{"number": 1}\n', "nonsense\n", '{"number": 0}\n{"number": 1}\n'])
def test_a_file_of_something_else_is_refused(content: str, tmp_path: pathlib.Path):
    path = tmp_path / "lines.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match="which something else has changed"):
        carried_out(path, ["a"], numbers, together=1, title="test")
    assert path.read_text() == content


def test_lines_are_written_a_group_at_a_time(tmp_path: pathlib.Path):
    path = tmp_path / "lines.jsonl"
    made: list[int] = []
    dies = True

    def work(first: int, items: Sequence[str]) -> list[Row]:
        made.append(first)
        if first == 4 and dies:
            raise Killed
        return numbers(first, items)

    with pytest.raises(Killed):
        carried_out(path, list("abcdefg"), work, together=2, title="test")
    assert len(path.read_text().splitlines()) == 4
    dies = False
    carried_out(path, list("abcdefg"), work, together=2, title="test")
    assert made == [0, 2, 4, 4, 6]


@pytest.fixture(scope="module")
def gpt2_of_everything(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An untrained GPT-2 that knows every character that is asked here."""
    return write_gpt2(tmp_path_factory.mktemp("base") / "model", "".join(map(chr, range(10, 127))))
