"""From a line of a data set to the ids a model is tuned on, in the form in which it is used afterwards."""

from typing import Literal

from trivium.data.examples import Example
from trivium.data.examples_file import Record
from trivium.errors import DataError, Unsupported
from trivium.lm.chat import chat_prompt
from trivium.templates import ChatTemplate, Message
from trivium.templates.instruction import chat_instruction, plain_instruction
from trivium.tokenizers import Tokenizer

PromptFormat = Literal["chat", "plain"]
Answers = Literal["last", "all"]


def encode_record(tokenizer: Tokenizer, record: Record, *, prompt_format: PromptFormat, answers: Answers) -> Example:
    """The example that a line makes, its end token included; ``tokenizer`` has one.

    With "chat", what is asked is a user's turn and what is to be written the assistant's; with "plain" both stand as
    they are, an instruction in the form of Alpaca. A text is always trained on as it stands, from its first token.

    Raises:
        DataError: the template refuses the conversation, or it is to be trained on as plain text.
        Unsupported: all answers of a conversation are to be trained on, and the tokenizer has no chat template.
    """
    assert tokenizer.eos_id is not None, "an answer has an end"
    if record.form == "text":
        return _encode_text(tokenizer, record.completion, tokenizer.eos_id)
    if prompt_format == "plain":
        return _encode_plain(tokenizer, record, tokenizer.eos_id)
    messages = _messages(record)
    template = ChatTemplate.of(tokenizer)
    if template is not None:
        ids, trained = template.encode_example(messages, tokenizer, answers=answers)
        return Example(ids=ids, trained=trained)
    if answers == "all" and sum(message["role"] == "assistant" for message in messages) > 1:
        raise Unsupported(
            "all answers of a conversation can be trained on only where a chat template tells where they end",
            received="a tokenizer without a chat template",
            fix="set answers to last, or put a chat_template.jinja into the model's folder",
        )
    before, _ = chat_prompt(tokenizer, messages[:-1])
    return Example.of(before, tokenizer.encode(messages[-1]["content"]), end_id=tokenizer.eos_id)


def _messages(record: Record) -> list[Message]:
    if record.form == "messages":
        return list(record.messages)
    asked = chat_instruction(record.prompt, record.given) if record.form == "instruction" else record.prompt
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": record.completion}]


def _encode_plain(tokenizer: Tokenizer, record: Record, end_id: int) -> Example:
    if record.form == "messages":
        raise DataError(
            "a conversation cannot be trained on as plain text",
            received='{"messages": [...]} with prompt_format plain',
            fix="set prompt_format to chat",
        )
    plain = record.prompt if record.form == "pair" else plain_instruction(record.prompt, record.given)
    # A text without its beginning could not be trained on where the prompt is empty.
    before = tokenizer.prefix_ids + tokenizer.encode(plain) or [i for i in (tokenizer.bos_id,) if i is not None]
    return Example.of(before, tokenizer.encode(record.completion), end_id=end_id)


def _encode_text(tokenizer: Tokenizer, text: str, end_id: int) -> Example:
    """As a document of pre-training: one BOS before it where the vocabulary has one, an end token after it."""
    before = tokenizer.prefix_ids or [i for i in (tokenizer.bos_id,) if i is not None]
    ids = [*before, *tokenizer.encode(text), end_id]
    read = max(1, len(before))
    return Example(ids=ids, trained=[False] * read + [True] * (len(ids) - read))
