"""From lines to ids: as the model is asked afterwards, with its end token, in each of the four forms."""

from typing import Any

import pytest

from tests.templates.dialects import TEMPLATES, tokenizer_of
from trivium import tokenizers
from trivium.data.examples import Example, ExamplesSource
from trivium.data.examples_file import Record
from trivium.errors import DataError, Unsupported
from trivium.lm.chat import chat_prompt
from trivium.recipes.examples import encode_record
from trivium.tokenizers import JsonTokenizer

ALL = {name: tokenizer_of(name) for name in TEMPLATES}
OWN = tokenizers.train(["What is two and two? It is four."] * 4, vocabulary_size=300)
TALK = Record(
    form="messages",
    messages=(
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "four"},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": "It is."},
    ),
)


def encoded(tokenizer: JsonTokenizer, record: Record, **options: Any) -> Example:
    return encode_record(tokenizer, record, **{"prompt_format": "chat", "answers": "last", **options})


def learnt(tokenizer: JsonTokenizer, example: Example) -> str:
    ids = [i for i, trained in zip(example.ids, example.trained, strict=True) if trained]
    return tokenizer.decode(ids, special=True)


@pytest.mark.parametrize("tokenizer", [*ALL.values(), OWN], ids=[*ALL, "own"])
def test_an_example_begins_as_chat_asks(tokenizer: JsonTokenizer) -> None:
    pair = Record(form="pair", prompt="What is <|end|> </s>?", completion="It is.")
    task = Record(form="instruction", prompt="Add", given="2 2", completion="four")
    for record, asked in ((pair, "What is <|end|> </s>?"), (task, "Add\n\n2 2")):
        example = encoded(tokenizer, record)
        prompt, _ = chat_prompt(tokenizer, [{"role": "user", "content": asked}])
        assert example.ids[: len(prompt)] == prompt
        assert list(example.trained) == [False] * len(prompt) + [True] * (len(example.ids) - len(prompt))
        assert example.ids.count(tokenizer.bos_id) == 1
        assert learnt(tokenizer, example).strip().startswith(record.completion)
        assert example.ids[-1] in tokenizer.special_tokens.values()
    prompt, _ = chat_prompt(tokenizer, TALK.messages[:-1])
    assert encoded(tokenizer, TALK).ids[: len(prompt)] == prompt
    assert learnt(tokenizer, encoded(tokenizer, TALK, answers="all")).count("four") == 1


@pytest.mark.parametrize("tokenizer", [*ALL.values(), OWN], ids=[*ALL, "own"])
def test_the_end_token_is_a_target_even_where_it_pads(tokenizer: JsonTokenizer) -> None:
    assert tokenizer.pad_id == tokenizer.eos_id or tokenizer is OWN
    records = [TALK, Record(form="pair", prompt="a", completion="b"), Record(form="text", completion="two and two")]
    examples = [encoded(tokenizer, record) for record in records]
    ends = [example.ids[-1] for example in examples]
    source = ExamplesSource(examples, vocabulary_size=tokenizer.vocabulary_size, context_tokens=200, rows=1)
    batch = next(source)
    targets = batch.targets[batch.mask].tolist()
    assert sorted(i for i in targets if i in ends) == sorted(ends)


def test_plain_prompts_stand_as_they_are() -> None:
    for tokenizer in (ALL["llama3"], OWN):
        example = encoded(tokenizer, Record(form="pair", prompt="two", completion="four"), prompt_format="plain")
        before = tokenizer.prefix_ids + tokenizer.encode("two")
        assert list(example.ids) == [*before, *tokenizer.encode("four"), tokenizer.eos_id]
        empty = encoded(tokenizer, Record(form="pair", completion="four"), prompt_format="plain")
        assert list(empty.ids) == [tokenizer.bos_id, *tokenizer.encode("four"), tokenizer.eos_id]
        task = Record(form="instruction", prompt="Add {0}", given="2", completion="four")
        text = tokenizer.decode(encoded(tokenizer, task, prompt_format="plain").ids)
        assert text.startswith("Below is an instruction")
        assert text.endswith("### Instruction:\nAdd {0}\n\n### Input:\n2\n\n### Response:\nfour")
    with pytest.raises(DataError, match="cannot be trained on as plain text"):
        encoded(OWN, TALK, prompt_format="plain")


def test_a_text_is_trained_on_from_its_first_token() -> None:
    for tokenizer in (*ALL.values(), OWN):
        example = encoded(tokenizer, Record(form="text", completion="two </s><|end|> four"))
        assert example.ids[0] == tokenizer.bos_id and example.ids[-1] == tokenizer.eos_id
        assert list(example.trained) == [False] + [True] * (len(example.ids) - 1)
        assert not set(example.ids[1:-1]) & set(tokenizer.special_tokens.values())


def test_without_a_template_there_is_one_answer() -> None:
    lines = JsonTokenizer(ALL["chatml"]._backend, {"bos_token": "<s>", "eos_token": "<|im_end|>"})
    example = encoded(lines, TALK)
    prompt, _ = chat_prompt(lines, TALK.messages[:-1])
    assert list(example.ids) == [*prompt, *lines.encode("It is."), lines.eos_id]
    with pytest.raises(Unsupported, match="only where a chat template"):
        encoded(lines, TALK, answers="all")


TOOLS = Record(
    form="messages",
    messages=(
        {"role": "user", "content": "two?"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": {}}}]},
        {"role": "tool", "content": "four and two"},
        {"role": "assistant", "content": "It is."},
    ),
)
WITH_TOOLS = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\\n' ~ m.content }}"
    "{% for call in m.tool_calls %}{{ call.function | tojson }}{% endfor %}{{ '<|im_end|>' ~ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def test_a_template_writes_tools_or_the_example_is_refused() -> None:
    """ChatML writes any role and no calls; ours knows no role of a tool."""
    knows = ALL["chatml"].with_chat_template(WITH_TOOLS)
    text = knows.decode(encoded(knows, TOOLS).ids, special=True)
    assert '"name": "add"' in text and "four and two" in text
    assert learnt(knows, encoded(knows, TOOLS)).startswith("It is.")
    with pytest.raises(DataError, match=r"(?s)no turn for tools.*message 1: 'add' is left out"):
        encoded(ALL["chatml"], TOOLS)
    silent = ALL["chatml"].with_chat_template(
        WITH_TOOLS.replace("for m in messages", "for m in messages if m.role != 'tool'")
    )
    with pytest.raises(DataError, match=r"(?s)no turn for tools.*message 2: 'four and two'"):
        encoded(silent, TOOLS)
    with pytest.raises(DataError, match="the roles are system, user and assistant, not tool"):
        encoded(OWN, TOOLS)


def test_a_chat_has_no_empty_question() -> None:
    with pytest.raises(DataError, match="a user's turn is empty"):
        encoded(OWN, Record(form="pair", prompt=" ", completion="four"))
