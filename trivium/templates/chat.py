"""The chat template: what turns a conversation into the text, and the ids, that a model was tuned on.

A template comes with a checkpoint and is a program that somebody else wrote. It runs in Jinja's immutable sandbox, in a
process of its own with limits on time, memory and output (`trivium.templates.worker`), so that a hostile or endless
one costs an error and nothing else.

What users write never becomes a control token. Special tokens spelt out inside a message are hidden while the template
runs and encoded as the plain characters they are (`ChatTemplate.encode`).
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from trivium.errors import DataError
from trivium.templates.process import TemplateProcess

Message = Mapping[str, Any]
"""``{"role": "system" | "user" | "assistant", "content": text}``, and whatever else a template reads."""

DEFAULT_CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('the roles are system, user and assistant, not ' ~ message['role']) }}"
    "{% endif %}"
    "{{ '<|' ~ message['role'] ~ '|>' ~ message['content'] ~ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""One BOS, then each turn: the token of its role, its content, EOS. It fits `trivium.tokenizers.SpecialTokens`."""


@runtime_checkable
class Vocabulary(Protocol):
    """What a template needs of a tokenizer."""

    @property
    def special_tokens(self) -> dict[str, int]:
        """Special tokens and their ids."""
        ...

    @property
    def bos_id(self) -> int | None:
        """The id that begins a text."""
        ...

    @property
    def eos_id(self) -> int | None:
        """The id that ends a turn."""
        ...

    def token(self, id: int) -> str:
        """The piece of an id."""
        ...

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text."""
        ...


class ChatTemplate:
    """A chat template in the dialect of `transformers`."""

    def __init__(self, source: str, *, timeout_s: float = 5.0, output_characters: int = 4_000_000):
        """``source`` is Jinja; a rendering may take ``timeout_s`` and write ``output_characters``."""
        self.source = source
        self._timeout_s = timeout_s
        self._output_characters = output_characters

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False, **variables: Any) -> str:
        """The text of a conversation.

        Args:
            messages: the turns.
            add_generation_prompt: end with the opening of an assistant's turn.
            variables: what else the template reads, such as ``bos_token`` and ``eos_token``; must be JSON.

        Raises:
            DataError: the template refuses the messages, is wrong, or goes beyond its limits.
        """
        given = {"messages": list(messages), "add_generation_prompt": add_generation_prompt, **variables}
        return TemplateProcess.shared().render(
            self.source, given, timeout_s=self._timeout_s, output_characters=self._output_characters
        )

    def encode(
        self, messages: Sequence[Message], tokenizer: Vocabulary, *, add_generation_prompt: bool = False
    ) -> list[int]:
        """The ids of a conversation. Control tokens come from the template only, whatever the messages say."""
        special = tokenizer.special_tokens
        hiding = _Hiding(special)
        names = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id}
        tokens = {name: tokenizer.token(i) if i is not None else "" for name, i in names.items()}
        hidden = [hiding.hide(message) for message in messages]
        text = self.render(hidden, add_generation_prompt=add_generation_prompt, **tokens)
        if not hiding.used:
            return tokenizer.encode(text, special=True)
        ids: list[int] = []
        for part in re.split(f"({_any_of(special)})", text):
            ids.extend([special[part]] if part in special else tokenizer.encode(hiding.reveal(part)))
        return ids

    def encode_example(self, messages: Sequence[Message], tokenizer: Vocabulary) -> tuple[list[int], list[int]]:
        """A training example from a conversation that ends with the assistant: (prompt ids, completion ids).

        The completion ends with what the template writes after an answer, usually EOS.

        Raises:
            DataError: the conversation does not end with the assistant, or the template does not begin an answer as
                its generation prompt says, so that training and use would see different ids.
        """
        if not messages or messages[-1].get("role") != "assistant":
            last = messages[-1].get("role") if messages else "nobody"
            raise DataError(
                "a training example must end with the assistant's answer",
                received=f"{len(messages)} messages, the last from {last}",
                fix="remove the messages after the last answer",
            )
        prompt = self.encode(messages[:-1], tokenizer, add_generation_prompt=True)
        whole = self.encode(messages, tokenizer)
        if whole[: len(prompt)] != prompt:
            raise DataError(
                "the chat template writes answers differently from how it asks for them",
                received="a conversation whose ids do not begin with those of its prompt",
                fix="use a template whose generation prompt is the beginning of an assistant's turn",
            )
        return prompt, whole[len(prompt) :]


class _Hiding:
    """Replaces special tokens in what users wrote by marks that nobody can foresee, and puts them back."""

    def __init__(self, special: Mapping[str, int]):
        self.used = False
        self._tokens = sorted(special)
        self._pattern = re.compile(_any_of(special)) if special else None
        self._key = secrets.token_hex(8)
        self._mark = re.compile(f"\ue000{self._key}:(\\d+)\ue001")

    def hide(self, value: Any) -> Any:
        """``value`` with every special token inside its texts replaced; roles are hidden too."""
        if isinstance(value, str):
            return self._pattern.sub(self._replacement, value) if self._pattern else value
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(inner) for inner in value]
        return value

    def reveal(self, text: str) -> str:
        """The text that `hide` was given."""
        return self._mark.sub(lambda match: self._tokens[int(match.group(1))], text)

    def _replacement(self, match: re.Match[str]) -> str:
        self.used = True
        return f"\ue000{self._key}:{self._tokens.index(match.group())}\ue001"


def _any_of(special: Mapping[str, int]) -> str:
    """A pattern for any special token, the longest first."""
    return "|".join(re.escape(token) for token in sorted(special, key=len, reverse=True))
