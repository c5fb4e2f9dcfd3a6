"""From a line of a data set to the ids a model is tuned on, in the form in which it is used afterwards."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from trivium.data.examples import Example
from trivium.data.examples_file import Record
from trivium.errors import DataError, Unsupported
from trivium.lm.chat import chat_prompt
from trivium.lm.turns import PromptFormat
from trivium.templates import ChatTemplate, Message
from trivium.templates.instruction import chat_instruction, plain_instruction
from trivium.tokenizers import Tokenizer

Answers = Literal["last", "all"]
_TOOLS = ("tool", "function", "ipython", "observation")


def encode_record(tokenizer: Tokenizer, record: Record, *, prompt_format: PromptFormat, answers: Answers) -> Example:
    """The example that a line makes, its end token included; ``tokenizer`` has one.

    With "chat", what is asked is a user's turn and what is to be written the assistant's; with "plain" both stand as
    they are, an instruction in the form of Alpaca. A text is always trained on as it stands, from its first token.

    Raises:
        DataError: the template refuses the conversation or leaves a turn out, a user's turn is empty, or a conversation
            is to be trained on as plain text.
        Unsupported: all answers of a conversation are to be trained on, and the tokenizer has no chat template.
    """
    assert tokenizer.eos_id is not None, "an answer has an end"
    example = _encoded(tokenizer, record, tokenizer.eos_id, prompt_format, answers)
    return replace(example, task=record.task, label=record.label, group=record.group)


def _encoded(
    tokenizer: Tokenizer, record: Record, end_id: int, prompt_format: PromptFormat, answers: Answers
) -> Example:
    if record.form == "text":
        return _encode_text(tokenizer, record.completion, end_id)
    if prompt_format == "plain":
        return _encode_plain(tokenizer, record, end_id)
    messages = _messages(record)
    template = ChatTemplate.of(tokenizer)
    if template is not None:
        _check_written(template, messages)
        ids, trained = template.encode_example(messages, tokenizer, answers=answers)
        return Example(ids=ids, trained=trained)
    if answers == "all" and sum(message["role"] == "assistant" for message in messages) > 1:
        raise Unsupported(
            "all answers of a conversation can be trained on only where a chat template tells where they end",
            received="a tokenizer without a chat template",
            fix="set answers to last, or put a chat_template.jinja into the model's folder",
        )
    before, _ = chat_prompt(tokenizer, messages[:-1])
    return Example.of(before, tokenizer.encode(messages[-1]["content"]), end_id=end_id)


def _messages(record: Record) -> list[Message]:
    if record.form == "messages":
        return list(record.messages)
    asked = chat_instruction(record.prompt, record.given) if record.form == "instruction" else record.prompt
    if not asked.strip():
        raise DataError(
            "a user's turn is empty",
            received="an empty prompt with prompt_format chat",
            fix="give it a prompt, or set prompt_format to plain",
        )
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": record.completion}]


def _check_written(template: ChatTemplate, messages: Sequence[Message]) -> None:
    """A template that knows nothing of tools would leave them out without a word."""
    said = [(number, message["content"]) for number, message in enumerate(messages) if message["role"] in _TOOLS]
    for number, message in enumerate(messages):
        said += [(number, call.get("function", call).get("name", "")) for call in message.get("tool_calls") or ()]
    if not said:
        return
    text = template.render(messages, bos_token="", eos_token="")
    for number, part in said:
        # Some write what a tool answered as JSON.
        if part.strip() not in text and json.dumps(part, ensure_ascii=False)[1:-1] not in text:
            raise DataError(
                "the model's chat template has no turn for tools",
                received=f"message {number}: {part[:60]!r} is left out",
                fix="leave the example out, or use a model whose template has tools",
            )


def _encode_plain(tokenizer: Tokenizer, record: Record, end_id: int) -> Example:
    if record.form == "messages":
        raise DataError(
            "a conversation cannot be trained on as plain text",
            received='{"messages": [...]} with prompt_format plain',
            fix="set prompt_format to chat",
        )
    plain = record.prompt if record.form == "pair" else plain_instruction(record.prompt, record.given)
    # An empty prompt is what `generate` makes of one: BOS, or EOS where there is none.
    begin = end_id if tokenizer.bos_id is None else tokenizer.bos_id
    before = tokenizer.prefix_ids + tokenizer.encode(plain) or [begin]
    return Example.of(before, tokenizer.encode(record.completion), end_id=end_id)


def _encode_text(tokenizer: Tokenizer, text: str, end_id: int) -> Example:
    """As a document of pre-training: one BOS before it where the vocabulary has one, an end token after it."""
    before = tokenizer.prefix_ids or [i for i in (tokenizer.bos_id,) if i is not None]
    ids = [*before, *tokenizer.encode(text), end_id]
    read = max(1, len(before))
    return Example(ids=ids, trained=[False] * read + [True] * (len(ids) - read))
