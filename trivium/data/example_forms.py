"""The forms in which data sets for tuning are written, each line recognised by its fields.

{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]}    "system", "tools"
{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}, ...]}        may stand beside
{"prompt": "...", "completion": "..."}
{"instruction": "...", "input": "...", "output": "..."}          "input" may be empty or absent
{"text": "..."}                                                  a document, all of it trained on

A line that two of them fit is refused: which was meant is not for us to guess. Beside any of them may stand "task",
"template", "group" and "label", by which examples are mixed, balanced and held out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trivium.data.conversations import Turn, Unusable, is_sharegpt, turns_of

FORMS = (
    '{"messages": [...]}, {"conversations": [...]}, {"prompt", "completion"}, {"instruction", "input", "output"} '
    'or {"text"}'
)
_NEEDED = {
    "messages": ("messages",),
    "conversations": ("conversations",),
    "pair": ("prompt", "completion"),
    "instruction": ("instruction", "output"),
    "text": ("text",),
}
"""The fields by which each form is known."""
_BESIDE = ("task", "template", "group", "label")
NAMES = tuple(dict.fromkeys([*(name for names in _NEEDED.values() for name in names), "input", "system", "tools"]))
"""All fields that a form has."""
FIELDS = (*NAMES, *_BESIDE)
_SHOWN = 160


@dataclass(frozen=True, kw_only=True)
class Record:
    """One example, checked: what is not in its form is empty."""

    form: Literal["messages", "pair", "instruction", "text"]
    """What it is: a conversation, a prompt with its completion, an instruction, or a document."""
    messages: tuple[Turn, ...] = ()
    """The turns of a conversation, the last the assistant's."""
    prompt: str = ""
    """The prompt, or the instruction."""
    given: str = ""
    """The input that an instruction is about."""
    completion: str = ""
    """What is to be written: the completion, the output, or the whole text."""
    task: str | None = None
    """What it is an example of; None where the data does not say, as for the next three."""
    template: str | None = None
    """The phrasing that it was made by."""
    group: str | None = None
    """What it belongs together with: the examples of a group are held out together."""
    label: str | None = None
    """Its class."""
    written_as: str = field(default="", compare=False)
    """The form as people call it: "messages", "ShareGPT", "prompt/completion", ..."""
    line: int = field(default=0, compare=False)
    """Where it stands in its file, counted from 1."""
    where: str = field(default="", compare=False)
    """The file, and the line or item in it, for messages."""

    @property
    def asked(self) -> str:
        """What it is held out by: its group, else what it asks, so that two answers to one question stand on the same
        side."""
        if self.group is not None:
            return self.group
        if self.form == "messages":
            return next((turn["content"] for turn in self.messages if turn["role"] == "user"), "")
        return self.completion if self.form == "text" else self.prompt + self.given


def record_of(fields: Mapping[str, Any]) -> Record:
    """The example that a line with these fields is. Raises `Unusable` where it is none, or could be two."""
    complete = [form for form, needed in _NEEDED.items() if all(fields.get(name) is not None for name in needed)]
    if len(complete) > 1:
        raise Unusable(f"it fits two forms, {_spelt(complete[0])} and {_spelt(complete[1])}")
    if complete:
        task, template, group, label = (_beside(fields.get(name)) for name in _BESIDE)
        record = _READERS[complete[0]](fields)
        return replace(record, task=task, template=template, group=group, label=label)
    begun = [form for form, needed in _NEEDED.items() if any(name in fields for name in needed)]
    if begun:
        form = begun[0]
        missing = [name for name in _NEEDED[form] if fields.get(name) is None]
        raise Unusable(f"{_spelt(form)} without {' and '.join(f'`{name}`' for name in missing)}; {_has(fields)}")
    raise Unusable(f"none of these forms; {_has(fields)}")


def _messages(fields: Mapping[str, Any]) -> Record:
    return _conversation(fields, "messages")


def _conversations(fields: Mapping[str, Any]) -> Record:
    return _conversation(fields, "conversations")


def _conversation(fields: Mapping[str, Any], name: str) -> Record:
    turns = turns_of(fields[name], system=fields.get("system"), tools=fields.get("tools"))
    written_as = "ShareGPT" if is_sharegpt(fields[name]) else "messages"
    return Record(form="messages", messages=turns, written_as=written_as)


def _pair(fields: Mapping[str, Any]) -> Record:
    prompt, completion = _texts(fields, "prompt", "completion")
    return Record(form="pair", prompt=prompt, completion=completion, written_as="prompt/completion")


def _instruction(fields: Mapping[str, Any]) -> Record:
    prompt, completion = _texts(fields, "instruction", "output")
    if not prompt.strip():
        raise Unusable("an empty instruction")
    given = fields.get("input")
    if given is not None and not isinstance(given, str):
        raise Unusable("`input` is no text")
    return Record(
        form="instruction",
        prompt=prompt,
        given=given or "",
        completion=completion,
        written_as="instruction/input/output",
    )


def _text(fields: Mapping[str, Any]) -> Record:
    text = fields["text"]
    if not isinstance(text, str) or not text.strip():
        raise Unusable("`text` is empty, or no text")
    return Record(form="text", completion=text, written_as="text")


_READERS: dict[str, Callable[[Mapping[str, Any]], Record]] = {
    "messages": _messages,
    "conversations": _conversations,
    "pair": _pair,
    "instruction": _instruction,
    "text": _text,
}


def _texts(fields: Mapping[str, Any], prompt: str, completion: str) -> tuple[str, str]:
    for name in (prompt, completion):
        if not isinstance(fields[name], str):
            raise Unusable(f"no texts `{prompt}` and `{completion}`: `{name}` is a {type(fields[name]).__name__}")
    if not fields[completion].strip():
        raise Unusable(f"an empty {completion}")
    return fields[prompt], fields[completion]


def _beside(value: Any) -> str | None:
    """What it is mixed and held out by. A field of that name that is neither a word nor a number is something else."""
    return str(value) if isinstance(value, str | int) and str(value) else None


def _spelt(form: str) -> str:
    return "/".join(_NEEDED[form])


def _has(fields: Mapping[str, Any]) -> str:
    return f"it has {', '.join(map(str, fields)) or 'nothing'}"[:_SHOWN]
