"""The conversation before the answers, from whichever fields hold it; where two conversations part, and dialogues."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, TypeGuard

from trivium.data.conversations import Turn, Unusable, turns_of
from trivium.data.preferences.judged import LeftOut
from trivium.templates.instruction import chat_instruction

_TEXTS = ("prompt", "question", "instruction")
_CONVERSATIONS = ("messages", "conversations")
_ANSWERS = ("content", "value", "answer", "response", "text", "completion", "output")
"""Where an answer that is an object has its text."""
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
_SPOKEN = re.compile(r"\n\n(Human|Assistant):")


def asked_of(fields: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The conversation before the answer, of a line with one prompt among its fields, a text or messages.

    Raises:
        Unusable: no prompt, two of them, turns out of order, or an empty one.
    """
    names = [name for name in (*_TEXTS, *_CONVERSATIONS) if fields.get(name) is not None]
    if len(names) != 1:
        raise Unusable(f"it has both `{names[0]}` and `{names[1]}`" if names else "no prompt")
    prompt = fields[names[0]]
    if names[0] == "instruction" and isinstance(prompt, str):
        given = fields.get("input")
        if given is not None and not isinstance(given, str):
            raise Unusable("`input` is no text")
        prompt = chat_instruction(prompt, given or "")
    turns = _turns_of_text(prompt) if isinstance(prompt, str) else prompt
    return checked(turns, system=fields.get("system"), tools=fields.get("tools"))


def checked(turns: Any, *, system: Any = None, tools: Any = None) -> tuple[Turn, ...]:
    """Turns before an answer, in order. Raises `Unusable`."""
    if not isinstance(turns, list) or not turns:
        raise Unusable("no list of turns before the answer, or an empty one")
    # What comes before an answer is right where an answer may follow.
    answer = {"role": "assistant", "content": "."}
    return turns_of([*turns, answer], system=system, tools=tools)[:-1]


def text_of(answer: Any, name: str) -> str:
    """The text of an answer: itself, or that of a message or of a list of one. Raises `Unusable`."""
    if isinstance(answer, list):
        if len(answer) != 1:
            raise Unusable(f"{name} is {len(answer)} turns, and the answer is one")
        return text_of(answer[0], name)
    if isinstance(answer, Mapping):
        speaker = answer.get("role", answer.get("from", "assistant"))
        if speaker not in ("assistant", "gpt"):
            raise Unusable(f"{name} is a turn of {speaker!r}, and the answer is the assistant's"[:120])
        texts = [answer[key] for key in _ANSWERS if isinstance(answer.get(key), str)]
        if len(texts) == 1 and not answer.get("tool_calls"):
            return texts[0]
    if not isinstance(answer, str):
        raise Unusable(f"{name} has no text")
    return answer


def parted(
    chosen: Sequence[Any], rejected: Sequence[Any], *, system: Any = None, tools: Any = None
) -> tuple[tuple[Turn, ...], tuple[str, str]]:
    """(what comes before, the two answers) of conversations that differ in their last turn.

    Raises:
        Unusable: they are none, or part earlier.
    """
    if not chosen or not rejected or chosen[:-1] != rejected[:-1]:
        raise Unusable("`chosen` and `rejected` part before their last turns")
    return (
        checked(chosen[:-1], system=system, tools=tools),
        (text_of(chosen[-1], "chosen"), text_of(rejected[-1], "rejected")),
    )


def is_dialogue(text: Any) -> TypeGuard[str]:
    """Whether it is written as HH-RLHF has it (Bai et al. 2022, arXiv 2204.05862)."""
    return isinstance(text, str) and text.lstrip().startswith("Human:") and "\n\nAssistant:" in text


def _turns_of_text(prompt: str) -> list[dict[str, str]]:
    """What a user says; or, of a dialogue up to where the assistant is to speak, its turns."""
    if is_dialogue(prompt):
        *turns, last = _turns(prompt)
        if last == {"role": "assistant", "content": ""}:
            return turns
    return [{"role": "user", "content": prompt}]


def parted_dialogues(chosen: str, rejected: str) -> tuple[tuple[Turn, ...], tuple[str, str]]:
    """(what comes before, the two answers) of dialogues with the same beginning, of which the rest is one answer each.

    Raises:
        Unusable: they have nothing in common, or a turn before the answer is empty.
        LeftOut: they part before the last answer.
    """
    one, other = _turns(chosen), _turns(rejected)
    if one[:-1] != other[:-1]:
        raise LeftOut("whose dialogues part before the last answer")
    if one[-1]["role"] != "assistant" or other[-1]["role"] != "assistant":
        raise LeftOut("whose dialogues do not end with the assistant")
    return checked(one[:-1]), (one[-1]["content"], other[-1]["content"])


def _turns(text: str) -> list[dict[str, str]]:
    """The turns of a dialogue. Where one speaker has two in a row, as happens in the published set, they are one."""
    _, *parts = _SPOKEN.split("\n\n" + text.lstrip())
    spoken = list(zip(parts[::2], parts[1::2], strict=True))
    return [
        {"role": _SPEAKERS[speaker], "content": "\n\n".join(said.strip() for _, said in turns)}
        for speaker, turns in groupby(spoken, key=lambda turn: turn[0])
    ]
