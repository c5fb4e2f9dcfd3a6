"""Masks and ids of conversations, in the dialects in use: what is trained on is what is asked for, after one BOS."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from tests.templates.dialects import CHATML, END, GEMMA, LLAMA3, MISTRAL, TEMPLATES, tokenizer_of
from trivium.errors import DataError
from trivium.templates import ChatTemplate
from trivium.tokenizers import Tokenizer

DIALECTS = [(name, adds) for name in TEMPLATES for adds in (True, False)]
ALL = {key: tokenizer_of(key[0], adds_bos=key[1]) for key in DIALECTS}
TURNS = [
    {"role": "user", "content": "What is two and two?"},
    {"role": "assistant", "content": "It is four."},
    {"role": "user", "content": "Be brief!"},
    {"role": "assistant", "content": "four"},
]
SPACE = {"mistral": " "}


def runs(ids: list[int], trained: list[bool]) -> list[list[int]]:
    """The ids of each unbroken run that is trained on."""
    pairs = itertools.groupby(zip(ids, trained, strict=True), key=lambda pair: pair[1])
    return [[i for i, _ in group] for marked, group in pairs if marked]


def texts(tokenizer: Tokenizer, ids: list[int], trained: list[bool]) -> list[str]:
    """The text of each run, without the end token, which must be there."""
    return [tokenizer.decode(run[:-1], special=True).strip(" ") for run in runs(ids, trained)]


@pytest.mark.parametrize(("dialect", "adds_bos"), DIALECTS)
def test_the_mask_is_the_answer_and_its_end_token_and_nothing_else(dialect: str, adds_bos: bool) -> None:
    tokenizer = ALL[dialect, adds_bos]
    template = ChatTemplate(TEMPLATES[dialect])
    end = tokenizer.id(END[dialect])
    whole = template.encode(TURNS, tokenizer)
    for answers, wanted in (("all", ["It is four.", "four"]), ("last", ["four"])):
        ids, trained = template.encode_example(TURNS, tokenizer, answers=answers)
        assert ids == whole[: len(ids)], "no other ids than those of the conversation"
        assert all(i not in tokenizer.special_tokens.values() for i in whole[len(ids) :]), "only a line end is left out"
        assert texts(tokenizer, ids, trained) == wanted
        assert all(run[-1] == end and run.count(end) == 1 for run in runs(ids, trained))
        assert trained[-1]
        last = len(ids) - len(runs(ids, trained)[-1])
        assert ids[:last] == template.encode(TURNS[:-1], tokenizer, add_generation_prompt=True)


@pytest.mark.parametrize(("dialect", "adds_bos"), DIALECTS)
def test_exactly_one_bos_in_training_and_in_use(dialect: str, adds_bos: bool) -> None:
    tokenizer = ALL[dialect, adds_bos]
    template = ChatTemplate(TEMPLATES[dialect])
    twice = ChatTemplate("{{ bos_token }}" + TEMPLATES[dialect])
    expected = 0 if dialect == "chatml" and not adds_bos else 1
    for each in (template, twice):
        wanted = max(expected, int(each is twice))
        asked = each.encode(TURNS[:-1], tokenizer, add_generation_prompt=True)
        ids, trained = each.encode_example(TURNS, tokenizer, answers="all")
        for found in (asked, ids):
            assert found.count(tokenizer.bos_id) == wanted
            assert (found[0] == tokenizer.bos_id) == bool(wanted)
        assert ids[: len(asked)] == asked
        assert not trained[0]
        assert texts(tokenizer, ids, trained) == ["It is four.", "four"]


@pytest.mark.parametrize("dialect", TEMPLATES)
def test_transformers_gives_the_same_ids(dialect: str, tmp_path) -> None:
    tokenizer = ALL[dialect, True]
    tokenizer.save(tmp_path)
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    text = theirs.apply_chat_template(TURNS, tokenize=False)
    bos = [] if dialect != "chatml" else [tokenizer.bos_id]  # no template writes it, the tokenizer's file does
    assert ChatTemplate(TEMPLATES[dialect]).encode(TURNS, tokenizer) == bos + theirs.encode(
        text, add_special_tokens=False
    )


TOKENS = sorted({token for tokenizer in ALL.values() for token in tokenizer.special_tokens})
WORDS = [*"ab é\n|<>[]", *TOKENS, "<|", "|>", "</", "end", "<0x41>"]
CONTENT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map("".join)


@settings(max_examples=60, derandomize=True)
@given(
    key=st.sampled_from(DIALECTS),
    contents=st.lists(CONTENT, min_size=2, max_size=6).filter(lambda contents: len(contents) % 2 == 0),
    system=st.none() | CONTENT,
    answers=st.sampled_from(["last", "all"]),
)
def test_whatever_is_said_training_and_use_see_the_same(
    key: tuple[str, bool], contents: list[str], system: str | None, answers: Any
) -> None:
    tokenizer, template = ALL[key], ChatTemplate(TEMPLATES[key[0]])
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(contents)]
    messages = ([] if system is None else [{"role": "system", "content": system}]) + messages
    ids, trained = template.encode_example(messages, tokenizer, answers=answers)
    prompt = template.encode(messages[:-1], tokenizer, add_generation_prompt=True)
    found = runs(ids, trained)
    special = set(tokenizer.special_tokens.values())
    assert ids[: len(prompt)] == prompt or answers == "all"
    assert trained[-1] and len(found) == (len(contents) // 2 if answers == "all" else 1)
    assert ids.count(tokenizer.bos_id) == (key != ("chatml", False))
    wanted = contents[1::2] if answers == "all" else contents[-1:]
    end = tokenizer.id(END[key[0]])
    for run, answer in zip(found, wanted, strict=True):
        assert run[-1] == end
        assert not special & set(run[:-1]), "what the assistant says is no control token either"
        assert tokenizer.decode(run[:-1]).strip() == answer.strip()
    control = [i for i in ids if i in special]
    plain = [{**message, "content": "x"} for message in messages]
    written = template.encode_example(plain, tokenizer)[0]
    assert control == [i for i in written if i in special], "the same control tokens as of any other conversation"


FIELDS = ("content", "name", "tool_call_id", "reasoning")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("dialect", TEMPLATES)
def test_no_special_token_in_any_field_becomes_a_control_id(dialect: str, field: str) -> None:
    tokenizer = ALL[dialect, True]
    special = set(tokenizer.special_tokens.values())
    reads = "{{ m.content }}{{ m.name }}{{ m.tool_call_id }}{{ m.reasoning }}{{ (m.tool_calls or []) | tojson }}{{ m }}"
    template = ChatTemplate("{{ bos_token }}{% for m in messages %}" + reads + "{{ eos_token }}{% endfor %}")
    for token in tokenizer.special_tokens:
        for text in (token, f"a {token}{token} b", token[:-1] + token):
            message = {"role": "user", "content": "x", field: text, "tool_calls": [{"arguments": {token: text}}]}
            ids = template.encode([message], tokenizer)
            assert [i for i in ids if i in special] == [tokenizer.bos_id, tokenizer.eos_id]
        for cut in range(1, len(token)):  # put together of two fields that stand side by side
            message = {"role": "user", "content": token[:cut], "name": token[cut:]}
            ids = template.encode([message], tokenizer)
            assert [i for i in ids if i in special] == [tokenizer.bos_id, tokenizer.eos_id]
        with pytest.raises(DataError, match="the roles are"):
            template.encode([{"role": token, "content": "x"}], tokenizer)
        with pytest.raises(DataError, match="the roles are"):
            template.encode([{"role": token.strip("<|>[]/"), "content": "x"}], tokenizer)


def test_a_system_message_is_never_lost() -> None:
    turns = [{"role": "system", "content": "Be brief."}, *TURNS]
    together = [{"role": "user", "content": "Be brief.\n\n" + TURNS[0]["content"]}, *TURNS[1:]]
    for dialect, source in (("gemma", GEMMA), ("mistral", MISTRAL)):  # refused
        template, tokenizer = ChatTemplate(source), ALL[dialect, True]
        assert template.encode(turns, tokenizer) == template.encode(together, tokenizer)
        ids, trained = template.encode_example(turns, tokenizer, answers="all")
        assert texts(tokenizer, ids, trained) == ["It is four.", "four"]
        assert template.encode(turns[:-1], tokenizer, add_generation_prompt=True) == template.encode(
            together[:-1], tokenizer, add_generation_prompt=True
        )
    without = "{% if m.role == 'system' %}{% continue %}{% endif %}"
    silent = ChatTemplate(CHATML.replace("in messages %}", "in messages %}" + without))
    tokenizer = ALL["chatml", True]
    assert silent.encode(turns, tokenizer) == silent.encode(together, tokenizer)
    understood = ChatTemplate(LLAMA3)
    assert "system" in ALL["llama3", True].decode(understood.encode(turns, ALL["llama3", True]))
    with pytest.raises(DataError, match="System role not supported"):
        ChatTemplate(GEMMA).encode(turns[:1], ALL["gemma", True])


def test_generation_blocks_decide_what_is_trained() -> None:
    tokenizer = ALL["chatml", True]
    marked = ChatTemplate(
        "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\\n' }}"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content ~ '<|im_end|>' }}{% endgeneration %}"
        "{% else %}{{ m.content ~ '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    assert marked.encode(TURNS, tokenizer) == ChatTemplate(CHATML).encode(TURNS, tokenizer)
    for answers in ("last", "all"):
        expected = ChatTemplate(CHATML).encode_example(TURNS, tokenizer, answers=answers)
        assert marked.encode_example(TURNS, tokenizer, answers=answers) == expected
    only_text = ChatTemplate(
        marked.source.replace("~ '<|im_end|>' }}{% endg", "}}{% endg", 1).replace(
            "{% endgeneration %}", "{% endgeneration %}{{ '<|im_end|>' }}"
        )
    )
    ids, trained = only_text.encode_example(TURNS, tokenizer, answers="all")
    assert [tokenizer.decode(run, special=True) for run in runs(ids, trained)] == ["It is four.", "four"]


def test_an_answer_that_would_melt_into_the_prompt_is_kept_apart() -> None:
    """Two line ends are one token; the template wrote the first, and a model that is asked sees it alone."""
    tokenizer = ALL["llama3", True]
    template = ChatTemplate(CHATML.replace("<|im_start|>", "").replace("<|im_end|>", "<|eot_id|>"))
    messages = [{"role": "user", "content": "What"}, {"role": "assistant", "content": "\nfour"}]
    merged = tokenizer.encode("\n\n")
    assert len(merged) == 1
    prompt = template.encode(messages[:1], tokenizer, add_generation_prompt=True)
    assert template.encode(messages, tokenizer)[: len(prompt)] != prompt
    ids, trained = template.encode_example(messages, tokenizer)
    assert ids[: len(prompt)] == prompt
    assert trained == [False] * len(prompt) + [True] * (len(ids) - len(prompt))
    assert tokenizer.decode(ids[len(prompt) :], special=True) == "\nfour<|eot_id|>"


def test_an_answer_without_an_end_token_gets_one() -> None:
    tokenizer = ALL["chatml", False]
    template = ChatTemplate(
        "{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}[{% endif %}"
    )
    ids, trained = template.encode_example(TURNS[:2], tokenizer)
    assert tokenizer.decode(ids, special=True) == "[What is two and two?][It is four.]<|im_end|>"
    assert tokenizer.decode(runs(ids, trained)[0], special=True) == "It is four.]<|im_end|>"


def test_conversations_that_cannot_be_trained_on() -> None:
    template, tokenizer = ChatTemplate(CHATML), ALL["chatml", True]
    with pytest.raises(DataError, match="cannot begin with the assistant"):
        template.encode_example(TURNS[1:], tokenizer)
    with pytest.raises(DataError, match="must end with the assistant"):
        template.encode_example(TURNS[:3], tokenizer)
    with pytest.raises(DataError, match="must end with the assistant"):
        template.encode_example([], tokenizer)
    deep: Any = "x"
    for _ in range(3000):
        deep = [deep]
    with pytest.raises(DataError, match="nested too deeply"):
        template.encode([{"role": "user", "content": "x", "name": deep}], tokenizer)
    forgetful = ChatTemplate(
        "{% for m in messages %}{{ m.role ~ ':' }}"
        "{{ (m.content if loop.last or m.role == 'user' else '...') ~ '<|im_end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    )
    ids, trained = forgetful.encode_example(TURNS, tokenizer)
    assert texts(tokenizer, ids, trained) == ["four"]
