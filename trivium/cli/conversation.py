"""A conversation with a model: what was said, how the next answer is chosen, and what can be taken back."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trivium.checkpoints.folder import replace_file
from trivium.cli import probabilities
from trivium.cli.sampling import Sampling
from trivium.errors import DataError, StorageError, UserError
from trivium.generation.request import Request
from trivium.generation.resolve import resolve
from trivium.generation.settings import GenerationSettings, Search
from trivium.lm.chat import chat_prompt
from trivium.lm.hosted.failure import ServiceError
from trivium.lm.hosted.model import Growing, HostedModel
from trivium.lm.local import LocalModel
from trivium.templates import Message

_ROLES = ("system", "user", "assistant")


class Conversation:
    """What was said so far, and how the next answer is chosen."""

    def __init__(self, model: LocalModel | HostedModel, sampling: Sampling, system: str | None = None):
        self.model = model
        self.sampling = sampling
        self.messages: list[Message] = []
        self.set_system(system)
        self.unsaved = False
        """There is an answer that was not saved."""
        self._last: tuple[Sequence[int], Sequence[int]] | None = None  # ids of the last prompt and its answer
        if isinstance(model, LocalModel):
            model.remember()  # each turn begins as the one before it: only what is new is read

    def ask(self, question: str, show: Callable[[str], None], *, instead: bool = False) -> str:
        """The answer to `question`, given to `show` piece by piece; `instead` of the last question and its answer.

        An answer ended by Ctrl-C stays as far as it came. If it fails, or Ctrl-C comes before its first word, or a
        service answers nothing, neither it nor the question was ever said.
        """
        before = self.messages[:-2] if instead else self.messages
        messages = [*before, {"role": "user", "content": question}]
        request = None
        try:
            request, steps = self._answering(messages)
            shown, begun = 0, False
            for _ in steps:
                for piece in request.pieces[shown:]:
                    # A template may leave the space after its last word to the model: no answer begins with it.
                    piece = piece if begun else piece.lstrip()
                    shown, begun = shown + 1, begun or bool(piece)
                    show(piece)
        except KeyboardInterrupt:
            if request is None or not "".join(request.pieces).strip():
                raise
            show(" ...")
        except UserError:
            if request is not None and request.pieces:
                show("\n")  # what went wrong is told in a line of its own
            raise
        answer = "".join(request.pieces).strip()
        if not answer and isinstance(self.model, HostedModel):  # services refuse a conversation with an empty turn
            raise ServiceError(
                "the service answered nothing",
                received=f"an empty answer, ended by {request.finish_reason}",
                fix="ask otherwise; a model that thinks first may need a larger max_new_tokens",
            )
        said = [*messages, {"role": "assistant", "content": answer}]
        # At once: no Ctrl-C falls between them.
        self.messages, self._last, self.unsaved = said, (request.prompt, request.token_ids), True
        return answer

    def _answering(self, messages: Sequence[Message]) -> tuple[Request | Growing, Iterator[None]]:
        """The answer in the making, and the steps that make it."""
        if isinstance(self.model, HostedModel):
            return self.model.follow_chat(messages, **self.sampling.arguments())
        assert self.model.tokenizer is not None, "a model that chats has a tokenizer"
        prompt, stops = chat_prompt(self.model.tokenizer, messages)
        chosen = self.sampling.arguments(self.model.tokenizer)
        chosen["stop"] = (*chosen["stop"], *stops)
        # An answer that is shown as it grows is not searched for, even where the model's own settings ask for it.
        return self.model.follow(prompt, **chosen, beams=1, search=Search())

    def undo(self) -> str | None:
        """Takes back the last question and its answer, and gives the question; None where nothing was said."""
        question = self.question
        if question is not None:
            self.messages, self._last = self.messages[:-2], None
        return question

    def reset(self) -> None:
        """Forgets all that was said, but what the model was told before it."""
        self.messages = [message for message in self.messages if message["role"] == "system"]
        self._last = None

    def set_system(self, text: str | None) -> None:
        """What the model is told before the conversation; None or nothing for no such message."""
        said = [message for message in self.messages if message["role"] != "system"]
        self.messages = [{"role": "system", "content": text}, *said] if text else said

    @property
    def system(self) -> str | None:
        """What the model is told before the conversation."""
        first = self.messages[0] if self.messages else {}
        return str(first["content"]) if first.get("role") == "system" else None

    @property
    def question(self) -> str | None:
        """The last that was answered."""
        return str(self.messages[-2]["content"]) if self.turns else None

    @property
    def turns(self) -> int:
        """Questions that were answered."""
        return sum(message["role"] == "assistant" for message in self.messages)

    def seen(self) -> list[probabilities.Seen]:
        """How probable each token of the last answer was; nothing where there is no such answer."""
        if self._last is None or isinstance(self.model, HostedModel):
            return []
        return probabilities.look(self.model, *self._last)

    def tokens(self) -> tuple[int, int]:
        """(tokens of the whole conversation as the model reads it, those of the last answer)."""
        tokenizer = self.model.tokenizer
        assert tokenizer is not None
        if not self.turns:
            return 0, 0
        if self._last is None:
            prompt, _ = chat_prompt(tokenizer, self.messages[:-1])
            answer = tokenizer.encode(str(self.messages[-1]["content"]))
        else:
            prompt, answer = self._last
        return len(prompt) + len(answer), len(answer)

    def save(self, path: pathlib.Path) -> None:
        """Writes the messages as one line of JSON, which `trivium finetune --data` reads as well.

        Raises `StorageError` for a file that holds anything but a conversation.
        """
        check_output(path)
        replace_file(path, (json.dumps({"messages": self.messages}, ensure_ascii=False) + "\n").encode())
        self.unsaved = False

    def load(self, path: pathlib.Path) -> None:
        """Goes on with a saved conversation. Raises `UserError` for a file that holds none."""
        self.messages = read_messages(path)
        self._last, self.unsaved = None, False

    def change_sampling(self, **changes: Any) -> None:
        """Chooses the next answers otherwise. Raises `ConfigError` for what cannot be, and changes nothing then."""
        changed = dataclasses.replace(self.sampling, **changes)
        self._resolved(changed)
        self.sampling = changed

    def settings(self) -> GenerationSettings:
        """How the next answer is chosen, with what the model's own settings say."""
        return self._resolved(self.sampling)

    def _resolved(self, sampling: Sampling) -> GenerationSettings:
        if isinstance(self.model, HostedModel):
            return self.model.settings(**sampling.arguments())
        return resolve(self.model.generation, **sampling.arguments(self.model.tokenizer))


def check_output(path: pathlib.Path) -> None:
    """Raises `StorageError` for a file that saving a conversation would delete, and that holds none."""
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        read_messages(path)
    except UserError as error:
        raise StorageError(
            "this file is no conversation, and saving would delete it", received=path, fix="give another name"
        ) from error


def read_messages(path: pathlib.Path) -> list[Message]:
    """The messages of a saved conversation. Raises `DataError` for what is none, `OSError` for no such file."""
    try:
        (line,) = path.read_text(encoding="utf-8").splitlines()
        messages = json.loads(line)["messages"]
    except (ValueError, KeyError, TypeError):
        messages = None
    if not isinstance(messages, list) or not all(_is_message(each) for each in messages) or not _alternates(messages):
        raise DataError(
            "this file holds no conversation",
            received=path,
            expected='one line of JSON, {"messages": [...]}, as /save writes it',
        )
    return messages


def _is_message(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") in _ROLES and isinstance(message.get("content"), str)


def _alternates(messages: list[Message]) -> bool:
    """Whether each question has its answer."""
    said = [message["role"] for message in messages if message["role"] != "system"]
    return said == ["user", "assistant"] * (len(said) // 2)
