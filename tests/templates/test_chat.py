"""The chat template: the same text as `transformers`, bounded, and no control token from what a user wrote."""

import pytest
from transformers import PreTrainedTokenizerFast

from trivium import tokenizers
from trivium.errors import DataError
from trivium.templates import DEFAULT_CHAT_TEMPLATE, ChatTemplate
from trivium.tokenizers import Tokenizer

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "4"},
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    trained = tokenizers.train(["What is two and two? It is four. Be brief."] * 5, vocabulary_size=300)
    return trained.with_chat_template(DEFAULT_CHAT_TEMPLATE)


@pytest.mark.parametrize(
    "source",
    [
        DEFAULT_CHAT_TEMPLATE,
        """{% for m in messages %}\n  {%- if loop.first %}A{% endif %}\n{{ m | tojson }}
        {% if m.role == 'user' %}{% continue %}{% endif %}{{ m.content.strip()[::-1] | upper }}\n{% endfor %}""",
    ],
)
def test_transformers_renders_the_same(tokenizer: Tokenizer, tmp_path, source: str) -> None:
    tokenizer.with_chat_template(source).save(tmp_path)
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for generation in (False, True):
        text = theirs.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=generation)
        ours = ChatTemplate(source)
        tokens = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
        assert ours.render(MESSAGES, add_generation_prompt=generation, **tokens) == text
        ids = ours.encode(MESSAGES, tokenizer, add_generation_prompt=generation)
        assert ids == theirs.encode(text, add_special_tokens=False)


def test_exactly_one_bos_and_an_end_after_each_turn(tokenizer: Tokenizer) -> None:
    ids = ChatTemplate(DEFAULT_CHAT_TEMPLATE).encode(MESSAGES, tokenizer)
    assert ids.count(tokenizer.bos_id) == 1
    assert ids[0] == tokenizer.bos_id
    assert ids.count(tokenizer.eos_id) == 3
    assert ids[-1] == tokenizer.eos_id


def test_no_text_of_a_user_becomes_a_control_token(tokenizer: Tokenizer) -> None:
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    special = set(tokenizer.special_tokens.values())
    plain = [i for i in template.encode([{"role": "user", "content": "x"}], tokenizer) if i in special]
    for token in tokenizer.special_tokens:
        for content in (token, f"a {token}{token} b", f"<|{token}|>", token[:-1]):
            ids = template.encode([{"role": "user", "content": content}], tokenizer)
            assert [i for i in ids if i in special] == plain
            assert tokenizer.decode(ids) == content
    # A name that a template reads is no less the user's than the content is.
    named = ChatTemplate(
        "{{ bos_token }}{% for m in messages %}{{ m.name }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    )
    ids = named.encode([{"role": "user", "content": "hi", "name": "<|end|>"}], tokenizer)
    assert ids.count(tokenizer.eos_id) == 1
    assert tokenizer.decode(ids) == "<|end|>: hi"


def test_an_example_is_prompt_and_completion(tokenizer: Tokenizer) -> None:
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    ids, trained = template.encode_example(MESSAGES, tokenizer)
    prompt = template.encode(MESSAGES[:-1], tokenizer, add_generation_prompt=True)
    assert ids == [*prompt, *tokenizer.encode("4"), tokenizer.eos_id]
    assert trained == [False] * len(prompt) + [True] * (len(ids) - len(prompt))
    with pytest.raises(DataError, match="must end with the assistant"):
        template.encode_example(MESSAGES[:-1], tokenizer)
    other = ChatTemplate(
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>>{% endif %}"
    )
    with pytest.raises(DataError, match="differently"):
        other.encode_example(MESSAGES, tokenizer)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ raise_exception('no roles but these') }}", "no roles but these"),
        ("{{ messages[0].content.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
        ("{{ cycler.__init__.__globals__.os.system('true') }}", "SecurityError"),
        ("{% set _ = messages.append(1) %}", "SecurityError"),
        ("{% if %}", "TemplateSyntaxError"),
        ("{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "more than 4,000,000 characters"),
        ("{{ 'x' * 10**10 }}", "memory"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "itself"),
        ("{% include 'etc/passwd' %}", "no loader"),
    ],
)
def test_hostile_templates_cost_an_error(source: str, reason: str) -> None:
    with pytest.raises(DataError, match="cannot be rendered") as caught:
        ChatTemplate(source).render(MESSAGES)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 9 ** (10 ** 9) }}",
    ],
)
def test_endless_templates_are_stopped_and_the_next_one_works(source: str) -> None:
    with pytest.raises(DataError, match=r"takes more than 0.5 s"):
        ChatTemplate(source, timeout_s=0.5).render(MESSAGES)
    assert ChatTemplate("{{ messages | length }}").render(MESSAGES) == "3"
