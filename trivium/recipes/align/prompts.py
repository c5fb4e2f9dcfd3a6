"""The prompts that a policy answers: read, encoded, and held out for the watch."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.data.conversations import Unusable, awaits_answer, refusal
from trivium.data.examples_file import Record, files_of, record_at
from trivium.data.preferences.prompts import asked_of
from trivium.data.preferences.read import read_judged
from trivium.data.rows import Row, read_rows
from trivium.data.splits import is_held_out, turn
from trivium.errors import DataError
from trivium.generation.reading import context_limit
from trivium.lm.local import LocalModel
from trivium.lm.turns import PromptFormat, asked_ids
from trivium.templates import Message
from trivium.templates.instruction import chat_instruction, plain_instruction
from trivium.training.rollouts import Asked

_HELD_OUT = 0.1
_FEW = 3
_COMPARED = {"chosen", "rejected", "answers", "responses", "ranks"}
"""Fields of what was said of answers: of such a file only the prompts are read."""
_ASKING = {
    "prompt": "completion",
    "messages": None,
    "conversations": None,
    "question": "answer",
    "instruction": "output",
}
"""A field that asks -> that of its answer; None for a conversation, which ends with it. The first that is there
counts."""
_BESIDE = ("input", "system", "tools")
_FORMS = '{"messages": [...]}, {"conversations": [...]}, {"prompt"}, {"question"} or {"instruction", "input"}'
_TEXT = ".txt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompt:
    """Something that a model is asked."""

    messages: tuple[Message, ...]
    """The conversation so far, which ends with what a user says."""
    wanted: str | None
    """The answer that the file has; None where it has none."""

    @property
    def text(self) -> str:
        """What a reward is told of it: what the user says, or the whole conversation where there is more of it."""
        if len(self.messages) == 1:
            return self.messages[0]["content"]
        return "\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in self.messages)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompts:
    """What there is to be asked."""

    training: Sequence[Prompt]
    """To learn from."""
    held_out: Sequence[Prompt]
    """For the watch."""
    unseen: Sequence[Prompt]
    """To compare the finished policy on; none where there are too few."""

    @property
    def everything(self) -> Sequence[Prompt]:
        """All of them."""
        return (*self.training, *self.held_out, *self.unseen)

    @property
    def wanted(self) -> Mapping[str, str]:
        """What verifiers compare with, by the text of the prompt."""
        return {each.text: each.wanted for each in self.everything if each.wanted is not None}

    @property
    def conversations(self) -> Mapping[str, tuple[Message, ...]]:
        """The messages by the text of the prompt."""
        return {each.text: each.messages for each in self.everything}


def read_prompts(path: pathlib.Path, *, prompt_format: PromptFormat) -> list[Prompt]:
    """The prompts of a file, or of all files of a folder in the order of their names, each once, in their order: the
    lines of a .txt; of rows the examples that `trivium finetune` reads, with their answers or without; and what the
    answers of preference data are to. Raises `DataError` for a line that is no prompt, or where there is none."""
    if not path.exists():
        raise DataError("there are no prompts", received=f"{path}, which does not exist", fix="give a file of prompts")
    found = [prompt for file in files_of(path, also=(_TEXT,)) for prompt in _of_file(file, prompt_format)]
    once: dict[str, Prompt] = {}
    for prompt in found:
        first = once.setdefault(prompt.text, prompt)
        if first.wanted != prompt.wanted:
            raise DataError(
                "a prompt stands twice in the file, with different answers",
                received=f"{path}: {prompt.text[:60]!r}: {first.wanted!r} and {prompt.wanted!r}",
                fix="keep one of them",
            )
    if not once:
        raise DataError("there are no prompts", received=path, expected="a prompt a line", fix="check the file")
    return list(once.values())


def split_prompts(prompts: Sequence[Prompt], validation: Sequence[Prompt] | None, most: int) -> Prompts:
    """Those to train on, and at most ``most`` to watch and as many to compare on, which are held out where there are
    none of their own, one in ten and at least one; none of ``validation`` is trained on. Of two or three there is none
    to compare on. Raises `DataError` where one prompt would have to be for both."""
    if validation is not None:
        texts = {prompt.text for prompt in validation}
        training = [prompt for prompt in prompts if prompt.text not in texts]
        if not training:
            raise DataError(
                "there are no prompts to learn from",
                received=f"{len(prompts)} prompts, all of which are in the file of the others too",
                fix="leave validation out: one in ten is then held out",
            )
        return _with_held_out(training, validation, most)
    if len(prompts) < 2:
        raise DataError(
            "one prompt cannot both be learnt from and tell whether answers to others get better",
            received="1 prompt",
            expected="2 prompts or more",
            fix="give more, or a file of others with --validation",
        )
    # Of few none may be due, or all: at least one is on either side.
    due = sum(is_held_out(prompt.text, _HELD_OUT) for prompt in prompts)
    first = set(sorted((prompt.text for prompt in prompts), key=turn)[: min(max(due, 1), len(prompts) - 1)])
    held_out = [prompt for prompt in prompts if prompt.text in first]
    training = [prompt for prompt in prompts if prompt.text not in first]
    return _with_held_out(training, held_out, most)


def _with_held_out(training: Sequence[Prompt], others: Sequence[Prompt], most: int) -> Prompts:
    watched = min(most, len(others) - len(others) // 2 if len(others) > _FEW else len(others))
    return Prompts(training=training, held_out=others[:watched], unseen=others[watched : watched + most])


def encoded(
    prompts: Sequence[Prompt], model: LocalModel, *, prompt_format: PromptFormat, max_new_tokens: int
) -> tuple[list[Asked], tuple[str, ...]]:
    """The prompts as ids, and the texts that end an answer. Raises `DataError` where one leaves no room for it."""
    assert model.tokenizer is not None, "refused before"
    limit, made = context_limit(model.network), []
    stops: tuple[str, ...] = ()
    for prompt in prompts:
        ids, stops = asked_ids(model.tokenizer, prompt.messages, prompt_format)
        if limit is not None and len(ids) + max_new_tokens > limit:
            raise DataError(
                "a prompt leaves no room for its answer",
                received=f"{len(ids)} tokens, and max_new_tokens {max_new_tokens}: {prompt.text[:60]!r}",
                expected=f"at most {limit} together",
                fix="lower max_new_tokens, or leave long prompts out",
            )
        made.append(Asked(text=prompt.text, ids=ids))
    return made, stops


def _of_file(file: pathlib.Path, prompt_format: PromptFormat) -> list[Prompt]:
    if file.suffix == _TEXT:
        return [_said(line.strip(), None) for line in _text(file).splitlines() if line.strip()]
    rows = list(read_rows(file))
    if rows and _COMPARED & rows[0].fields.keys():
        return [Prompt(messages=judged.messages, wanted=None) for judged in read_judged(file)]
    return [_of_row(row, prompt_format) for row in rows]


def _text(file: pathlib.Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "the prompts are no text in UTF-8", received=f"{file}: {error}", fix="save it as UTF-8"
        ) from error


def _of_row(row: Row, prompt_format: PromptFormat) -> Prompt:
    name = next((name for name in _ASKING if row.fields.get(name) is not None), None)
    if name is None or not _is_unanswered(row.fields, name):
        return _of_record(record_at(row), prompt_format)
    try:
        messages = asked_of({key: row.fields[key] for key in (name, *_BESIDE) if key in row.fields})
    except Unusable as error:
        raise refusal(error, row.place, what="a prompt", expected=_FORMS, fix="correct or remove the line") from error
    asked = row.fields[name]
    if prompt_format == "chat" or not isinstance(asked, str):
        return Prompt(messages=messages, wanted=None)
    return _said(plain_instruction(asked, row.fields.get("input") or "") if name == "instruction" else asked, None)


def _is_unanswered(fields: Mapping[str, Any], name: str) -> bool:
    answer = _ASKING[name]
    return awaits_answer(fields[name]) if answer is None else fields.get(answer) is None


def _said(text: str, wanted: str | None) -> Prompt:
    return Prompt(messages=({"role": "user", "content": text},), wanted=wanted)


def _of_record(record: Record, prompt_format: PromptFormat) -> Prompt:
    if record.form == "messages":
        *before, last = record.messages
        return Prompt(messages=tuple(before), wanted=last["content"])
    if record.form == "text":
        raise DataError(
            "a text has no prompt", received=record.where, expected='{"prompt": ..., "completion": ...}, or messages'
        )
    put = chat_instruction if prompt_format == "chat" else plain_instruction
    return _said(put(record.prompt, record.given) if record.form == "instruction" else record.prompt, record.completion)
