"""Trees of messages as OpenAssistant publishes them (Köpf et al. 2023, arXiv 2304.07327): every turn may have several
answers, and people ranked them.

{"prompt": {"message_id", "role": "prompter", "text", "replies": [{"role": "assistant", "text", "rank": 0, ...}]}}
{"message_id", "parent_id", "role", "text", "rank"}                 a message a line; above, a tree a line

Rank 0 is best. The ranked answers to one message are a ranking; what was said up to it is its prompt. What was deleted
or did not pass review is left out with all below it, and counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivium.data.conversations import Unusable
from trivium.data.preferences.judged import DEFAULT, Judged, ranks_by_score
from trivium.data.preferences.prompts import checked

_ROLES = {"prompter": "user", "assistant": "assistant"}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a tree."""

    fields: Mapping[str, Any]
    """As the file has it."""
    where: str
    """The file, and the line in it, for messages."""


Replies = Mapping[str | None, Sequence[Message]]
"""`message_id` -> its replies; of None, the messages that trees begin with."""


def is_tree(fields: Mapping[str, Any]) -> bool:
    """Whether a line is a whole tree."""
    return "replies" in _root(fields)


def is_message(fields: Mapping[str, Any]) -> bool:
    """Whether a line is one message of a tree."""
    return all(name in fields for name in ("message_id", "parent_id", "role", "text"))


def messages_of(fields: Mapping[str, Any], where: str) -> Iterator[Message]:
    """All messages of a tree, each with its `parent_id`. Raises `Unusable` for a reply that is none."""
    waiting = [{**_root(fields), "parent_id": None}]
    while waiting:
        message = waiting.pop()
        replies = message.get("replies") or []
        if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
            raise Unusable("`replies` is no list of messages")
        yield Message(fields=message, where=where)
        waiting += [{**reply, "parent_id": message.get("message_id")} for reply in reversed(replies)]


def judged_trees(messages: Sequence[Message], left_out: Counter[str]) -> list[Judged]:
    """The rankings of all messages with two or more ranked answers, in the order of the trees.

    Args:
        messages: of whole trees, in any order.
        left_out: is told what is passed over, and how often.

    Raises:
        Unusable: a message without an id, one id twice, or roles out of order.
    """
    replies: defaultdict[str | None, list[Message]] = defaultdict(list)
    names: set[str] = set()
    for message in messages:
        name = _text(message, "message_id")
        if name in names:
            raise Unusable(f"{message.where}: the message {name} stands there twice")
        names.add(name)
        parent = message.fields.get("parent_id")
        replies[parent if parent != "" else None].append(message)
    left_out["messages whose tree is not there"] += sum(
        len(below) for parent, below in replies.items() if parent is not None and parent not in names
    )
    found: list[Judged] = []
    waiting: list[tuple[Message, tuple[Mapping[str, str], ...]]] = [(root, ()) for root in reversed(replies[None])]
    while waiting:
        message, before = waiting.pop()
        fate = _fate(message)
        if fate is not None:
            left_out[fate] += 1
            left_out["messages below those"] += _below(message, replies)
            continue
        path = (*before, {"role": _role(message), "content": message.fields["text"]})
        answers = replies.get(message.fields["message_id"], ())
        if answers and path[-1]["role"] == "user":
            ranking = _ranking(path, answers, message.where, left_out)
            found += [] if ranking is None else [ranking]
        waiting += [(answer, path) for answer in reversed(answers)]
    for name in [name for name, count in left_out.items() if not count]:
        del left_out[name]
    return found


def _root(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    prompt = fields.get("prompt")
    return prompt if isinstance(prompt, Mapping) else fields


def _ranking(
    path: Sequence[Mapping[str, str]], replies: Sequence[Message], where: str, left_out: Counter[str]
) -> Judged | None:
    """The ranking of the answers to the last turn of ``path``; None where fewer than two are ranked."""
    kept = [reply for reply in replies if _fate(reply) is None]
    ranked = [reply for reply in kept if reply.fields.get("rank") is not None]
    if len(ranked) < 2:
        left_out["replies without others to compare"] += len(kept)
        return None
    left_out["replies without a rank"] += len(kept) - len(ranked)
    ranks = [reply.fields["rank"] for reply in ranked]
    if not all(isinstance(rank, int | float | str) and str(rank).removesuffix(".0").isdecimal() for rank in ranks):
        raise Unusable(f"{where}: ranks of replies that are not 0, 1, ...: {ranks}")
    # There are gaps where a reply was left out.
    return Judged(
        messages=checked(list(path)),
        answers=tuple(reply.fields["text"] for reply in ranked),
        ranks={DEFAULT: ranks_by_score([-float(rank) for rank in ranks])},
        where=where,
        written_as="rankings of OpenAssistant",
    )


def _fate(message: Message) -> str | None:
    """Why a message is left out; None where it is not."""
    if _true(message.fields.get("deleted")):
        return "deleted messages"
    if "review_result" in message.fields and not _true(message.fields["review_result"]):
        return "messages that did not pass review"
    text = message.fields.get("text")
    return None if isinstance(text, str) and text.strip() else "messages without text"


def _true(value: Any) -> bool:
    """Also as a table spells it."""
    return value is True or str(value).lower() in ("true", "1")


def _role(message: Message) -> str:
    role = _text(message, "role")
    if role not in _ROLES:
        raise Unusable(f"{message.where}: the roles of a tree are prompter and assistant, not {role!r}"[:160])
    return _ROLES[role]


def _text(message: Message, name: str) -> str:
    value = message.fields.get(name)
    if not isinstance(value, str) or not value:
        raise Unusable(f"{message.where}: a message without `{name}`")
    return value


def _below(message: Message, replies: Replies) -> int:
    """How many messages hang under one."""
    count, waiting = 0, [message]
    while waiting:
        below = replies.get(_text(waiting.pop(), "message_id"), ())
        count += len(below)
        waiting += below
    return count
