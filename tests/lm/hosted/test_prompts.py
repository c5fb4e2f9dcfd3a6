"""One suite of prompts for a model on this machine and for services: the same questions, the same forms of answers, the
same errors."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.lm import small
from trivium.errors import ConfigError, DataError, Unsupported, UserError
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Generation, LanguageModel, Score

MODELS = ("local", "openai", "anthropic", "gemini", "cohere", "vllm", "ollama", "llamacpp")
PROMPTS = ["the cat", "a naïve café costs 5 €", "two\nlines", " a space before", "dogs and cats " * 3]


@pytest.fixture(scope="module")
def local() -> LocalModel:
    tokenizer = small.byte_tokenizer()
    return LocalModel(small.network("lstm", tokenizer.vocabulary_size).float(), tokenizer)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, local: LocalModel, make: Callable[..., Any]) -> Any:
    return local if request.param == "local" else make(request.param)


def test_it_is_a_language_model(model: Any) -> None:
    assert isinstance(model, LanguageModel)
    assert {"generate", "stream", "chat"} <= model.capabilities


def test_answers_in_the_order_of_the_prompts(model: Any) -> None:
    found = model.generate(PROMPTS, max_new_tokens=6)
    assert len(found) == len(PROMPTS)
    for prompt, answer in zip(PROMPTS, found, strict=True):
        check(answer)
        alone = model.generate(prompt, max_new_tokens=6)
        assert [one.text for one in alone] == [answer.text]
    assert model.generate([], max_new_tokens=6) == []


def check(answer: Generation) -> None:
    assert isinstance(answer, Generation)
    assert isinstance(answer.text, str)
    assert answer.finish_reason in ("stop", "length")
    assert answer.settings.max_new_tokens == 6
    assert answer.settings.greedy
    assert len(answer.token_ids) in (0, len(answer.logprobs))
    assert all(type(value) is float for value in answer.logprobs)


def test_several_answers_to_each(model: Any) -> None:
    found = model.generate(PROMPTS[:2], max_new_tokens=6, n=2)
    assert len(found) == 4
    assert found[0].text == found[1].text  # greedy
    assert all(answer.settings.n == 2 for answer in found)


def test_a_stream_is_the_answer(model: Any) -> None:
    for prompt in PROMPTS:
        pieces = list(model.stream(prompt, max_new_tokens=6))
        assert all(type(piece) is str and piece for piece in pieces)
        assert "".join(pieces) == model.generate(prompt, max_new_tokens=6)[0].text
    grown, steps = model.follow(PROMPTS[0], max_new_tokens=6)
    for _ in steps:
        pass
    assert grown.finish_reason in ("stop", "length")


def test_a_conversation_goes_on(model: Any) -> None:
    said = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the cat sat"}]
    answer = model.chat(said, max_new_tokens=6)
    check(answer)
    longer = [*said, {"role": "assistant", "content": answer.text}, {"role": "user", "content": "and?"}]
    check(model.chat(longer, max_new_tokens=6))


def test_a_stop_text_is_no_part_of_the_answer(model: Any) -> None:
    whole = model.generate("the cat sat on the mat", max_new_tokens=6)[0].text
    stop = whole[3:5]
    for given in (stop, [stop]):
        answer = model.generate("the cat sat on the mat", max_new_tokens=6, stop=given)[0]
        assert answer.text == whole[: whole.index(stop)]
        assert answer.settings.stop == (stop,)


def test_sampling_is_in_the_settings(model: Any) -> None:
    answer = model.generate("the cat", max_new_tokens=6, temperature=0.5, top_p=0.9)[0]
    assert (answer.settings.temperature, answer.settings.top_p) == (0.5, 0.9)


def test_scores_where_there_are_any(model: Any) -> None:
    if "score" not in model.capabilities:
        with pytest.raises(Unsupported, match="cannot score"):
            model.score([("the cat", " sat")])
        return
    found = model.score([("the cat", " sat"), ("the cat", " sat on the mat")])
    assert all(isinstance(score, Score) and score.tokens >= 1 and score.logprob < 0 for score in found)
    assert found[1].logprob < found[0].logprob
    with pytest.raises(DataError, match="nothing to score"):
        model.score([("the cat", "")])


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ({"max_new_tokens": 0}, ConfigError, "nothing is to be generated"),
        ({"temperature": -1.0}, ConfigError, "temperature cannot be used"),
        ({"top_p": 1.5}, ConfigError, "top_p is a share"),
        ({"n": 0}, ConfigError, "no answer is asked for"),
        ({"stop": [""]}, ConfigError, "empty stop text"),
        ({"seed": -1}, ConfigError, "seed is negative"),
    ],
)
def test_wrong_settings_are_refused_alike(model: Any, given: dict[str, Any], kind: type[UserError], told: str) -> None:
    with pytest.raises(kind, match=told):
        model.generate("the cat", **{"max_new_tokens": 6, **given})


def test_a_stream_of_several_answers_is_refused_alike(model: Any) -> None:
    with pytest.raises(DataError, match="a stream is one answer"):
        model.stream("the cat", max_new_tokens=6, n=2)


def test_what_is_no_conversation_is_refused_alike(model: Any) -> None:
    for messages, told in (
        ([], "the conversation is empty"),
        ([{"role": "user"}], "message 0 is not a turn"),
        ([{"role": "user", "content": 7}], "message 0 is not a turn"),
        ([{"role": "assistant", "content": "a"}], "ends with the assistant's turn"),
    ):
        with pytest.raises(DataError, match=told):
            model.chat(messages, max_new_tokens=6)


def test_what_a_model_cannot_do_it_refuses(model: Any) -> None:
    for capability, ask in (
        ("classify", lambda: model.classify(["a"])),
        ("regress", lambda: model.regress(["a"])),
        ("tag", lambda: model.tag(["a"])),
        ("answer", lambda: model.answer("q", "c")),
        ("fill", lambda: model.fill("a")),
        ("complete", lambda: model.complete("a", "b")),
    ):
        assert capability not in model.capabilities
        with pytest.raises(Unsupported, match=f"cannot {capability}"):
            ask()
