"""Trees of OpenAssistant, whole and a message a line."""

import copy
import json

import pytest

from trivium.data.preferences import DEFAULT, pairs_of, read_judged, read_preferences
from trivium.errors import DataError


def message(name, role, replies=(), **more):
    return {"message_id": name, "role": role, "text": f"text {name}", "replies": list(replies), **more}


def tree():
    again = message("u2", "prompter", [message("a3", "assistant", rank=1), message("a4", "assistant", rank=0)])
    answers = [
        message("a0", "assistant", [again], rank=2),
        message("a1", "assistant", rank=0, deleted=True),
        message("a2", "assistant", [message("u3", "prompter")], rank=1),
        message("a5", "assistant", rank=None),
    ]
    return {"message_tree_id": "u1", "prompt": message("u1", "prompter", answers)}


def flat(node, parent=None):
    node = copy.deepcopy(node)
    replies = node.pop("replies")
    return [{**node, "parent_id": parent}, *(line for reply in replies for line in flat(reply, node["message_id"]))]


def read(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_preferences(path)


def test_ranked_replies_are_rankings(tmp_path):
    reading = read(tmp_path / "trees.jsonl", [tree()])
    first, second = reading.judged
    assert [turn["content"] for turn in first.messages] == ["text u1"]
    assert first.answers == ("text a0", "text a2")
    # Rank 0, the best, was deleted: the gap is closed.
    assert first.ranks == {DEFAULT: (2, 1)}
    assert [turn["role"] for turn in second.messages] == ["user", "assistant", "user"]
    assert [turn["content"] for turn in second.messages] == ["text u1", "text a0", "text u2"]
    assert (second.answers, second.ranks) == (("text a3", "text a4"), {DEFAULT: (2, 1)})
    assert reading.left_out == {"deleted messages": 1, "replies without a rank": 1}
    assert {judged.asked for judged in reading.judged} == {"text u1"}


def test_one_ranked_reply_is_no_ranking(tmp_path):
    alone = {"prompt": message("v1", "prompter", [message("b0", "assistant", rank=0), message("b1", "assistant")])}
    reading = read(tmp_path / "trees.jsonl", [tree(), alone])
    assert len(reading.judged) == 2
    assert reading.left_out["replies without others to compare"] == 2


def test_a_message_a_line_says_the_same(tmp_path):
    whole = read(tmp_path / "trees.jsonl", [tree()])
    lines = flat(tree()["prompt"])
    lines.sort(key=lambda line: line["role"])  # in any order: the answers first
    parts = read(tmp_path / "messages.jsonl", lines)
    assert [(each.messages, each.answers, each.ranks) for each in parts.judged] == [
        (each.messages, each.answers, each.ranks) for each in whole.judged
    ]
    assert parts.left_out == whole.left_out
    assert [each.where.rsplit(", ")[-1] for each in parts.judged] == ["line 7", "line 8"]


def test_what_did_not_pass_review_goes_with_all_below_it(tmp_path):
    changed = tree()
    changed["prompt"]["replies"][0]["review_result"] = None
    changed["prompt"]["replies"].append(message("a6", "assistant", rank=3, review_result=True))
    reading = read(tmp_path / "trees.jsonl", [changed])
    assert [judged.answers for judged in reading.judged] == [("text a2", "text a6")]
    assert reading.left_out["messages that did not pass review"] == 1
    assert reading.left_out["messages below those"] == 3


def test_messages_whose_tree_is_elsewhere_are_counted(tmp_path):
    lines = [line for line in flat(tree()["prompt"]) if line["message_id"] != "u2"]
    reading = read(tmp_path / "messages.jsonl", lines)
    assert [judged.answers for judged in reading.judged] == [("text a0", "text a2")]
    assert reading.left_out["messages whose tree is not there"] == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rank": "best"}, "ranks of replies that are not 0, 1, ..."),
        ({"rank": -1}, "ranks of replies that are not 0, 1, ..."),
        ({"role": "system"}, "the roles of a tree are prompter and assistant, not 'system'"),
        ({"message_id": "a2"}, "the message a2 stands there twice"),
        ({"message_id": 3}, "a message without `message_id`"),
        ({"replies": "none"}, "`replies` is no list"),
    ],
)
def test_what_is_no_tree_is_told_with_its_line(tmp_path, change, said):
    changed = tree()
    changed["prompt"]["replies"][0] |= change
    with pytest.raises(DataError, match="line 2: ") as error:
        read(tmp_path / "trees.jsonl", [{"prompt": message("u0", "prompter")}, changed])
    assert said in str(error.value)


def test_the_published_trees(shared_data):
    reading = read_preferences(shared_data / "instructions" / "oasst_en_100_tree.jsonl")
    # 212 prompts with two or more ranked replies, counted by hand: 116 of three, 57 of two, 27 of four, ...
    assert len(reading.judged) == 212
    assert reading.left_out == {"replies without others to compare": 45, "replies without a rank": 1}
    sizes = [len(judged.answers) for judged in reading.judged]
    assert [sizes.count(size) for size in range(2, 10)] == [57, 117, 27, 3, 6, 0, 1, 1]
    assert len(pairs_of(reading.judged).pairs) == 57 + 117 * 3 + 27 * 6 + 3 * 10 + 6 * 15 + 28 + 36
    assert len({judged.asked for judged in reading.judged}) <= 100


def test_a_prompt_that_is_a_text_is_no_tree(tmp_path):
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"prompt": "Hi", "chosen": "a", "rejected": "b"}))
    assert len(read_judged(tmp_path / "pairs.jsonl")) == 1
