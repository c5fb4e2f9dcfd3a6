"""Conversations as data sets write them, checked: whose turn it is, and that something is said.

    turns = turns_of([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])
    turns = turns_of([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}])         # ShareGPT

Chat templates refuse a conversation whose roles are out of order, or worse, write it; so it is refused here: a system
turn stands first, then user and assistant in turn, where an assistant's turn may call tools whose answers follow it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.errors import DataError

Turn = Mapping[str, Any]
"""``role`` and ``content``, and whatever else a template reads."""

# What published sets in the form of ShareGPT call the speakers.
_SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
    "tool": "tool",
}
_CALL = "function_call"
_FIRST = ("system", "developer")
_TOOLS = ("tool", "function", "ipython", "observation")
_ROLES = (*_FIRST, "user", "assistant", *_TOOLS)
_SHOWN = 60
ORDER = "user and assistant in turn, the assistant last; a system turn first or nowhere, tools after the call of one"
"""How the turns of a conversation follow each other, for messages."""


class Unusable(Exception):
    """Why a line is no example."""


class OutOfOrder(Unusable):
    """Turns that stand where a conversation has none of theirs."""


class UnknownRole(Unusable):
    """A turn of somebody that no conversation has; the message is the role."""


def turns_of(conversation: Any, *, system: Any = None, tools: Any = None) -> tuple[Turn, ...]:
    """The turns of a conversation in either form, the last the assistant's.

    Args:
        conversation: a list of ``role`` and ``content``, or of ``from`` and ``value`` (ShareGPT).
        system: a system text beside it, which becomes the first turn; None or empty: none.
        tools: the definitions of tools beside it, JSON or its text. They become part of the system turn, as text.

    Raises:
        Unusable: a turn that is none, an empty one, or roles out of order.
        UnknownRole: a role or a speaker that no conversation has.
    """
    if not isinstance(conversation, list) or not conversation:
        raise Unusable("no list of turns, or an empty one")
    turns = [_turn(turn, number) for number, turn in enumerate(conversation)]
    turns = _with_system(turns, _beside("system", system), _beside("tools", tools))
    _check_order(turns)
    for number, turn in enumerate(turns):
        if not turn["content"].strip() and not turn.get("tool_calls"):
            last = number == len(turns) - 1
            raise Unusable("an empty answer" if last else f"message {number}, the {turn['role']}'s, is empty")
    return tuple(turns)


def awaits_answer(conversation: Any) -> bool:
    """Whether its last turn, in either form, is somebody else's than the assistant's."""
    last = conversation[-1] if isinstance(conversation, list) and conversation else None
    if not isinstance(last, Mapping):
        return False
    speaker = last.get("role", last.get("from"))
    return not isinstance(speaker, str) or _SPEAKERS.get(speaker, speaker) != "assistant"


def refusal(error: Unusable, where: str, *, what: str, expected: str, fix: str) -> DataError:
    """What people are told of an ``error`` in a line: ``what`` cannot be used, and ``where`` it stands."""
    received = str(error) if str(error).startswith(where) else f"{where}: {error}"  # of a tree it tells its own line
    if isinstance(error, UnknownRole):
        return DataError(
            "the roles are system, user and assistant, and tool for what a program answered",
            received=received,
            fix="correct the role",
        )
    return DataError(
        f"{what} cannot be used",
        received=received,
        expected=ORDER if isinstance(error, OutOfOrder) else expected,
        fix=fix,
    )


def is_sharegpt(conversation: Any) -> bool:
    """Whether its turns are written as ShareGPT has them."""
    return isinstance(conversation, list) and bool(conversation) and _of_sharegpt(conversation[0])


def _of_sharegpt(turn: Any) -> bool:
    return isinstance(turn, dict) and "from" in turn


def _turn(turn: Any, number: int) -> dict[str, Any]:
    names = ("from", "value") if _of_sharegpt(turn) else ("role", "content")
    if not isinstance(turn, dict) or not isinstance(turn.get(names[0]), str):
        raise Unusable(f"message {number} has no texts `{names[0]}` and `{names[1]}`")
    speaker = turn[names[0]]
    role = speaker if names[0] == "role" else _SPEAKERS.get(speaker, speaker)
    if role not in _ROLES:
        raise UnknownRole(repr(speaker)[:_SHOWN])
    calls = _calls(turn.get("tool_calls"), number)
    content = _content(turn.get(names[1]), calls)
    if content is None:
        raise Unusable(f"message {number} has no texts `{names[0]}` and `{names[1]}`")
    rest = {name: value for name, value in turn.items() if name not in (*names, "tool_calls") and value is not None}
    if speaker == _CALL and names[0] == "from":
        calls, content = _written_call(content), ""
    return {"role": role, "content": content, **rest, **({"tool_calls": calls} if calls else {})}


def _content(content: Any, calls: Sequence[Any]) -> str | None:
    """The text of a turn: a string, or a list of parts that are texts; a turn that calls tools may have none."""
    if content is None:
        return "" if calls else None
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        texts = [part.get("text") for part in content]
        return "".join(texts) if all(isinstance(text, str) for text in texts) else None
    return content if isinstance(content, str) else None


def _calls(calls: Any, number: int) -> list[Any]:
    if calls is None:
        return []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise Unusable(f"message {number}: `tool_calls` is no list of objects")
    return calls


def _written_call(text: str) -> list[dict[str, Any]]:
    """A call as ShareGPT has it, the text of {"name": ..., "arguments": ...}, as templates read it."""
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        call = None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise Unusable(f'a {_CALL} is no {{"name": ..., "arguments": ...}}: {text[:_SHOWN]!r}')
    function = {"name": call["name"], "arguments": call.get("arguments", {})}
    return [{"type": "function", "function": function}]


def _beside(name: str, value: Any) -> str:
    """A text that stands beside the turns; empty where there is none."""
    if value is None or isinstance(value, str):
        return (value or "").strip()
    if name == "tools" and isinstance(value, list):
        return json.dumps(value, ensure_ascii=False) if value else ""
    raise Unusable(f"`{name}` is no text")


def _with_system(turns: list[dict[str, Any]], system: str, tools: str) -> list[dict[str, Any]]:
    told = [system] if system else []
    if tools and tools != "[]":
        told.append(f"Tools:\n{tools}")
    if not told:
        return turns
    if turns[0]["role"] in _FIRST:
        if system:
            raise Unusable("a system text beside the messages, and another among them")
        first = {**turns[0], "content": "\n\n".join([turns[0]["content"], *told])}
        return [first, *turns[1:]]
    return [{"role": "system", "content": "\n\n".join(told)}, *turns]


def _check_order(turns: Sequence[Turn]) -> None:
    before = ""
    for number, turn in enumerate(turns):
        role = turn["role"]
        if role in _FIRST and number:
            raise OutOfOrder(f"message {number} is the system's, which stands first or nowhere")
        if role == "user" and before == "user":
            raise OutOfOrder(f"messages {number - 1} and {number} are both the user's")
        if role == "user" and before in _TOOLS:
            raise OutOfOrder(f"message {number} is the user's, and the assistant has not answered the tool yet")
        if role == "assistant" and before in ("", *_FIRST):
            raise OutOfOrder(f"message {number} is the assistant's, before the user has said anything")
        if role == "assistant" and before == "assistant":
            raise OutOfOrder(f"messages {number - 1} and {number} are both the assistant's")
        if role in _TOOLS and before not in ("assistant", *_TOOLS):
            raise OutOfOrder(f"message {number} is a tool's answer, and the assistant has called none")
        before = role
    if before != "assistant":
        raise OutOfOrder("the last message is not the assistant's answer")
