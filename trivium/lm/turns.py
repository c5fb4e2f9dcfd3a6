"""From a prompt and its answer to the ids that are read: the same ones when a model is trained, scored and used."""

from collections.abc import Sequence
from typing import Literal

from trivium.errors import DataError
from trivium.lm.chat import chat_prompt, check_messages
from trivium.templates import ChatTemplate, Message
from trivium.tokenizers import Tokenizer

PromptFormat = Literal["chat", "plain"]
"""chat: the prompt is what a user says and the answer the assistant's turn; plain: both as they stand."""


def asked_ids(
    tokenizer: Tokenizer, messages: Sequence[Message], prompt_format: PromptFormat
) -> tuple[list[int], tuple[str, ...]]:
    """Ids of a prompt, which end where the answer begins, and the texts that end the answer beside the end token.

    Raises ``DataError`` for a conversation that ends with an answer, or, with "plain", of more than one message.
    """
    if prompt_format == "chat":
        return chat_prompt(tokenizer, messages)
    check_messages(messages)
    if len(messages) != 1:
        raise DataError(
            "a conversation cannot be read as plain text",
            received=f"{len(messages)} messages with prompt_format plain",
            fix="set prompt_format to chat",
        )
    ids = tokenizer.prefix_ids + tokenizer.encode(messages[0]["content"])
    return ids or [_end_id(tokenizer) if tokenizer.bos_id is None else tokenizer.bos_id], ()


def answered_ids(
    tokenizer: Tokenizer, messages: Sequence[Message], answer: str, prompt_format: PromptFormat
) -> tuple[list[int], list[int]]:
    """Ids of a prompt, and of an answer with the token that ends it; raises as ``asked_ids``."""
    prompt, _ = asked_ids(tokenizer, messages, prompt_format)
    template = ChatTemplate.of(tokenizer) if prompt_format == "chat" else None
    if template is None:
        return prompt, [*tokenizer.encode(answer), _end_id(tokenizer)]
    turns = [*messages, {"role": "assistant", "content": answer}]
    ids, trained = template.encode_example(turns, tokenizer, answers="last")
    begin = list(trained).index(True)
    return list(ids[:begin]), list(ids[begin:])


def _end_id(tokenizer: Tokenizer) -> int:
    if tokenizer.eos_id is None:
        raise DataError(
            "the vocabulary has no token that ends an answer",
            received="no eos_token",
            fix="name its eos_token in tokenizer_config.json",
        )
    return tokenizer.eos_id
