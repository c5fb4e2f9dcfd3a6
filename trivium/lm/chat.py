"""From the messages of a conversation to the ids a model goes on from."""

from collections.abc import Mapping, Sequence

from trivium.errors import DataError
from trivium.templates import ChatTemplate, Message
from trivium.tokenizers import Tokenizer

_ROLES = ("system", "user", "assistant")


def chat_prompt(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[list[int], tuple[str, ...]]:
    """Ids that end where the assistant is to speak, and the texts that end its turn.

    The tokenizer's chat template says how, or our own where its vocabulary has the tokens for it.
    Without either, turns are plain lines, "User: ...", and the next "User:" ends the answer.
    """
    check_messages(messages)
    template = ChatTemplate.of(tokenizer)
    if template is not None:
        return template.encode(messages, tokenizer, add_generation_prompt=True), ()
    lines = [f"{message['role'].capitalize()}: {message['content'].strip()}\n" for message in messages]
    return tokenizer.prefix_ids + tokenizer.encode("".join(lines) + "Assistant:"), ("\nUser:",)


def check_messages(messages: Sequence[Message]) -> None:
    """Raises ``DataError`` for what is no conversation that an assistant could go on with."""
    if not messages:
        raise DataError("the conversation is empty", fix='give at least [{"role": "user", "content": "Hello"}]')
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str) or "role" not in message:
            raise DataError(
                f"message {number} is not a turn of a conversation",
                received=message,
                expected=f'{{"role": ..., "content": text}}, the role one of {", ".join(_ROLES)}',
            )
    if messages[-1]["role"] == "assistant":
        raise DataError("the conversation ends with the assistant's turn", fix="end with what the user says")
