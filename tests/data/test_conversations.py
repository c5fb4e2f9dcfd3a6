"""Conversations: both ways to write them give the same turns, and no other order of roles passes."""

import json
from typing import Any

import pytest

from trivium.data.conversations import UnknownRole, Unusable, is_sharegpt, turns_of

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


def talk(roles: str) -> list[dict[str, Any]]:
    """ "sua": a system turn, a user's, an assistant's."""
    names = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool"}
    return [{"role": names[role], "content": f"says {number}"} for number, role in enumerate(roles)]


@pytest.mark.parametrize("roles", ["ua", "sua", "dua", "uaua", "uata", "uattaua"])
def test_orders_that_templates_write(roles: str) -> None:
    assert turns_of(talk(roles)) == tuple(talk(roles))


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ("u", "last message is not the assistant's"),
        ("a", "message 0 is the assistant's, before the user"),
        ("sa", "message 1 is the assistant's, before the user"),
        ("uua", "messages 0 and 1 are both the user's"),
        ("uaa", "messages 1 and 2 are both the assistant's"),
        ("usa", "message 1 is the system's, which stands first"),
        ("ssua", "message 1 is the system's"),
        ("uta", "message 1 is a tool's answer, and the assistant has called none"),
        ("tua", "message 0 is a tool's answer"),
        ("uatua", "message 3 is the user's, and the assistant has not answered the tool"),
        ("uat", "last message is not the assistant's"),
        ("", "no list of turns"),
    ],
)
def test_other_orders_are_refused(roles: str, message: str) -> None:
    with pytest.raises(Unusable, match=message):
        turns_of(talk(roles))


def test_sharegpt_gives_the_same_turns() -> None:
    shared = [
        {"from": "human", "value": "1 + 1?"},
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"from": "observation", "value": "2"},
        {"from": "gpt", "value": "It is 2."},
    ]
    assert is_sharegpt(shared)
    turns = turns_of(shared, system="Be brief.", tools=[{"name": "add"}])
    assert turns == (
        {"role": "system", "content": 'Be brief.\n\nTools:\n[{"name": "add"}]'},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "2"},
        {"role": "assistant", "content": "It is 2."},
    )
    assert turns_of(talk("sua"), tools="[x]")[0]["content"] == "says 0\n\nTools:\n[x]"
    assert turns_of(talk("ua"), tools="[]", system="") == tuple(talk("ua"))
    opened = [{"from": "system", "value": "s"}, {"from": "user", "value": "u"}, {"from": "chatgpt", "value": "a"}]
    assert [turn["role"] for turn in turns_of(opened)] == ["system", "user", "assistant"]


def test_turns_as_openai_writes_them() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    called = {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None}
    turns = turns_of([{"role": "user", "content": parts}, called])
    assert turns[0]["content"] == "ab" and turns[1] == {"role": "assistant", "content": "", "tool_calls": [CALL]}


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ("Hi", "message 1 has no texts"),
        ({"role": "assistant"}, "message 1 has no texts"),
        ({"role": "assistant", "content": None}, "message 1 has no texts"),
        ({"role": "assistant", "content": 3}, "message 1 has no texts"),
        ({"role": "assistant", "content": [{"type": "image"}]}, "message 1 has no texts"),
        ({"role": 1, "content": "a"}, "message 1 has no texts"),
        ({"from": "gpt", "value": None}, "message 1 has no texts `from` and `value`"),
        ({"role": "assistant", "content": ""}, "an empty answer"),
        ({"role": "assistant", "content": " \n"}, "an empty answer"),
        ({"role": "assistant", "content": "", "tool_calls": "add"}, "`tool_calls` is no list"),
        ({"from": "function_call", "value": "add(1)"}, "function_call is no"),
    ],
)
def test_turns_that_are_none(turn: Any, message: str) -> None:
    with pytest.raises(Unusable, match=message):
        turns_of([{"role": "user", "content": "Hi"}, turn])


def test_an_empty_turn_in_the_middle_and_an_unknown_role() -> None:
    with pytest.raises(Unusable, match="message 0, the user's, is empty"):
        turns_of([{"role": "user", "content": " "}, {"role": "assistant", "content": "a"}])
    with pytest.raises(UnknownRole, match="'robot'"):
        turns_of([{"role": "robot", "content": "a"}])
    with pytest.raises(UnknownRole, match="'alien'"):
        turns_of([{"from": "alien", "value": "a"}])
    with pytest.raises(Unusable, match="another among them"):
        turns_of(talk("sua"), system="twice")
    with pytest.raises(Unusable, match="`tools` is no text"):
        turns_of(talk("ua"), tools={"name": "add"})
