"""The chat template: what turns a conversation into the text, and the ids, that a model was tuned on.

A template comes with a checkpoint and is a program that somebody else wrote. It runs in Jinja's immutable sandbox, in a
process of its own with limits on time, memory and output (`trivium.templates.worker`), so that a hostile or endless
one costs an error and nothing else.

What users write never becomes a control token. Special tokens spelt out inside a message are hidden while the template
runs and encoded as the plain characters they are (`trivium.templates.hiding`).

A conversation begins with one BOS where the template writes it or the tokenizer's file asks for it, never with two.
Training and use go through the same functions, so they see the same ids.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from trivium.errors import DataError
from trivium.templates.conversation import Conversation
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

_MARKED = re.compile(r"\{%[-+]?\s*generation\b")
_DEFAULT_NEEDS = {"<|system|>", "<|user|>", "<|assistant|>"}


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

    @property
    def prefix_ids(self) -> list[int]:
        """The ids that the tokenizer's file puts before a text."""
        ...

    @property
    def chat_template(self) -> str | None:
        """The Jinja source that comes with the tokenizer."""
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

    @staticmethod
    def of(tokenizer: Vocabulary) -> "ChatTemplate | None":
        """The tokenizer's template, or our own where its vocabulary has the tokens for it, or None."""
        source = tokenizer.chat_template
        ends = tokenizer.bos_id is not None and tokenizer.eos_id is not None
        if source is None and ends and set(tokenizer.special_tokens) >= _DEFAULT_NEEDS:
            source = DEFAULT_CHAT_TEMPLATE
        return None if source is None else ChatTemplate(source)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False, **variables: Any) -> str:
        """The text of a conversation.

        Args:
            messages: the turns.
            add_generation_prompt: end with the opening of an assistant's turn.
            variables: what else the template reads, such as ``bos_token`` and ``eos_token``; must be JSON.

        Raises:
            DataError: the template refuses the messages, is wrong, or goes beyond its limits.
        """
        # `transformers` defines the first two for every template, and some only ask whether they are none.
        given = {"tools": None, "documents": None, "messages": list(messages), **variables}
        return TemplateProcess.shared().render(
            self.source,
            {**given, "add_generation_prompt": add_generation_prompt},
            timeout_s=self._timeout_s,
            output_characters=self._output_characters,
        )

    def encode(
        self, messages: Sequence[Message], tokenizer: Vocabulary, *, add_generation_prompt: bool = False
    ) -> list[int]:
        """The ids of a conversation. Control tokens come from the template only, whatever the messages say.

        A system message goes before the first user's text where the template refuses it or leaves it out.

        Raises:
            DataError: as `render`, or for a role that nobody has in a conversation.
        """
        return Conversation(self, messages, tokenizer).ids(add_generation_prompt=add_generation_prompt)

    def encode_example(
        self, messages: Sequence[Message], tokenizer: Vocabulary, *, answers: Literal["last", "all"] = "last"
    ) -> tuple[list[int], list[bool]]:
        """A training example from a conversation that ends with the assistant: its ids, and which are trained on.

        Trained on are the assistant's words and the token that ends its turn, of the last answer or of all of them;
        EOS is added where the template ends an answer with no token. A template that marks its assistant's text with
        ``{% generation %}`` decides itself. Every answer is checked to stand where the generation prompt leaves off,
        so what is trained on is what the model is asked for when it is used.

        Raises:
            DataError: the conversation does not end with the assistant, or the template does not begin an answer as
                its generation prompt says, so that training and use would see different ids.
        """
        roles = [message.get("role") for message in messages]
        if roles[-1:] != ["assistant"]:
            raise DataError(
                "a training example must end with the assistant's answer",
                received=f"{len(messages)} messages, the last from {roles[-1] if roles else 'nobody'}",
                fix="remove the messages after the last answer",
            )
        if roles[0] == "assistant":
            raise DataError(
                "a conversation cannot begin with the assistant's answer",
                received=f"{len(messages)} messages, the first from assistant",
                fix="begin with what the user says, or with a system message and a user's",
            )
        return Conversation(self, messages, tokenizer).example(answers, marked=bool(_MARKED.search(self.source)))
