"""What is sent, and how what comes back is read: settings in each protocol's words, why an answer ended."""

from typing import Any

import pytest

from trivium.errors import ConfigError, DataError, Unsupported
from trivium.generation.settings import Constraints, Search
from trivium.lm.hosted.asking import texts_of

TALK = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"},
]


def test_openai_chat(make: Any, server: Any, serving: Any) -> None:
    make().chat(TALK, max_new_tokens=7, temperature=0.5, top_p=0.9, seed=3, stop="x", frequency_penalty=0.1, n=1)
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["authorization"] == f"Bearer {serving.KEY}"
    assert server.asked[0] == {
        "model": "m",
        "messages": TALK,
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "frequency_penalty": 0.1,
        "seed": 3,
        "stop": ["x"],
    }


def test_anthropic_messages(make: Any, server: Any, serving: Any) -> None:
    make("anthropic").chat(TALK, max_new_tokens=7, temperature=0.5, top_k=4, stop=["x", "y"])
    assert server.paths == ["/v1/messages"]
    headers = server.headers[0]
    assert (headers["x-api-key"], headers["anthropic-version"]) == (serving.KEY, "2023-06-01")
    assert "authorization" not in headers
    assert server.asked[0] == {
        "model": "m",
        "max_tokens": 7,
        "system": "be brief",
        "messages": [
            {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]} for turn in TALK[1:]
        ],
        "temperature": 0.5,
        "top_k": 4,
        "stop_sequences": ["x", "y"],
    }
    with pytest.raises(Unsupported, match="before the conversation only"):
        make("anthropic").chat([TALK[1], TALK[0], TALK[3]])


def test_a_server_that_continues_texts(make: Any, server: Any) -> None:
    make("vllm").generate("once upon", max_new_tokens=7, temperature=0.0, repetition_penalty=1.1, min_p=0.1)
    assert server.paths == ["/v1/completions"]
    assert server.asked[0] == {
        "model": "m",
        "prompt": "once upon",
        "max_tokens": 7,
        "temperature": 0.0,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "logprobs": 0,
    }
    make("llamacpp").generate("a", max_new_tokens=7, repetition_penalty=1.1)
    assert server.asked[1]["repeat_penalty"] == 1.1


def test_streams_ask_for_their_usage(make: Any, server: Any) -> None:
    list(make().stream("a", max_new_tokens=7))
    list(make("anthropic").stream("a", max_new_tokens=7))
    openai, anthropic = server.asked
    assert (openai["stream"], openai["stream_options"]) == (True, {"include_usage": True})
    assert anthropic["stream"] is True
    assert "stream_options" not in anthropic


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, 0.0),
        ({"temperature": 0.7}, 0.7),
        ({"top_p": 0.9}, 1.0),  # asks for sampling, as it does of a local model
    ],
)
def test_greedy_unless_it_is_asked_otherwise(given: dict[str, Any], sent: float, make: Any, server: Any) -> None:
    answer = make().generate("a", max_new_tokens=7, **given)[0]
    assert server.asked[0]["temperature"] == answer.settings.temperature == sent


def test_a_temperature_that_is_the_services_own(make: Any, server: Any) -> None:
    model = make(takes=("seed",))
    assert model.generate("a", max_new_tokens=7)[0].settings.temperature == 1.0
    model.generate("a", max_new_tokens=7, temperature=1.0)
    assert all("temperature" not in asked for asked in server.asked)
    with pytest.raises(Unsupported, match="does not take the setting temperature"):
        model.generate("a", max_new_tokens=7, temperature=0.0)
    claude = make("anthropic")
    claude.generate("a", max_new_tokens=7, top_p=0.5)
    assert "temperature" not in server.asked[-1]  # 1 is its own: some of its models take one of the two only


@pytest.mark.parametrize(
    ("provider", "given", "name"),
    [
        ("openai", {"top_k": 5}, "top_k"),
        ("openai", {"min_p": 0.1}, "min_p"),
        ("openai", {"typical_p": 0.5}, "typical_p"),
        ("openai", {"repetition_penalty": 1.2}, "repetition_penalty"),
        ("openai", {"beams": 4}, "beams"),
        ("openai", {"length_penalty": 2.0}, "length_penalty"),
        ("openai", {"adapter": "mine"}, "adapter"),
        ("openai", {"draft": "lookup"}, "draft"),
        ("openai", {"constraints": Constraints(min_new_tokens=2)}, "constraints"),
        ("openai", {"search": Search(best_of=3), "temperature": 1.0}, "search"),
        ("anthropic", {"seed": 1}, "seed"),
        ("anthropic", {"frequency_penalty": 0.5}, "frequency_penalty"),
        ("gemini", {"presence_penalty": 0.5}, "presence_penalty"),
    ],
)
def test_settings_that_a_service_does_not_take(
    provider: str, given: dict[str, Any], name: str, make: Any, server: Any
) -> None:
    with pytest.raises(Unsupported, match=f"does not take the setting {name}"):
        make(provider).generate("a", max_new_tokens=7, **given)
    assert server.asked == []


def test_settings_beyond_a_services_range(make: Any, server: Any) -> None:
    with pytest.raises(ConfigError, match=r"no such temperature[\s\S]*0 to 1"):
        make("anthropic").generate("a", max_new_tokens=7, temperature=1.5)
    with pytest.raises(ConfigError, match=r"fewer stop texts[\s\S]*at most 4"):
        make().generate("a", max_new_tokens=7, stop=list("abcde"))
    assert server.asked == []


@pytest.mark.parametrize(
    ("said", "message", "found"),
    [
        ("stop", {"content": "x"}, ("x", "stop")),
        ("length", {"content": "x"}, ("x", "length")),
        ("length", {"content": None}, ("", "length")),
        ("content_filter", {"content": None}, ("", "failed")),
        ("stop", {"content": None, "refusal": "I will not"}, ("I will not", "failed")),
    ],
)
def test_why_an_answer_of_openai_ended(
    said: str, message: Any, found: Any, make: Any, server: Any, serving: Any
) -> None:
    server.script = [serving.reply({"choices": [{"finish_reason": said, "message": message}]})]
    answer = make().generate("a", max_new_tokens=7)[0]
    assert (answer.text, answer.finish_reason) == found


@pytest.mark.parametrize(
    ("said", "blocks", "found"),
    [
        ("end_turn", ["a", "b"], ("ab", "stop")),
        ("stop_sequence", ["a"], ("a", "stop")),
        ("end_turn", [], ("", "stop")),
        ("max_tokens", [], ("", "length")),
        ("refusal", ["no"], ("no", "failed")),
    ],
)
def test_why_an_answer_of_anthropic_ended(
    said: str, blocks: list[str], found: Any, make: Any, server: Any, serving: Any
) -> None:
    content = [{"type": "thinking", "thinking": "hm"}] * (said == "max_tokens")
    content += [{"type": "text", "text": block} for block in blocks]
    server.script = [serving.reply({"content": content, "stop_reason": said})]
    answer = make("anthropic").generate("a", max_new_tokens=7)[0]
    assert (answer.text, answer.finish_reason) == found


def test_log_probabilities_where_a_service_tells_them(make: Any, server: Any, serving: Any) -> None:
    chosen = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1}]}
    server.script = [
        serving.reply(
            {"choices": [{"text": "ab", "finish_reason": "stop", "logprobs": {"token_logprobs": [-0.5, -1]}}]}
        ),
        serving.reply({"choices": [{"message": {"content": "ab"}, "finish_reason": "stop", "logprobs": chosen}]}),
    ]
    assert make("vllm").generate("x", max_new_tokens=7)[0].logprobs == [-0.5, -1.0]
    assert make("vllm").chat(TALK).logprobs == [-0.5, -1.0]
    assert server.asked[1]["logprobs"] is True
    answer = make().generate("x", max_new_tokens=7)[0]
    assert (answer.logprobs, answer.token_ids) == ([], [])


def test_several_answers_at_once_or_one_by_one(make: Any, server: Any) -> None:
    found = make().generate(["a", "b"], max_new_tokens=7, n=2, seed=5)
    assert [answer.text for answer in found] == ["A", "A", "B", "B"]
    assert [asked["n"] for asked in server.asked] == [2, 2]
    server.asked.clear()
    found = make("cohere").generate(["a", "b"], max_new_tokens=7, n=2, seed=5)
    assert [answer.text for answer in found] == ["A", "A", "B", "B"]
    assert [asked["seed"] for asked in server.asked] == [5, 6, 5, 6]
    assert all(answer.settings.n == 2 for answer in found)


def test_many_prompts_in_order_from_several_threads(make: Any, server: Any) -> None:
    prompts = [f"number {number}" for number in range(20)]
    found = make(concurrency=4).generate(prompts, max_new_tokens=7)
    assert [answer.text for answer in found] == [prompt.upper() for prompt in prompts]
    assert len(server.asked) == 20


def test_conversations_that_are_none(make: Any) -> None:
    for messages in ([], [{"role": "user"}], [{"role": "assistant", "content": "x"}]):
        with pytest.raises(DataError):
            make().chat(messages)


@pytest.mark.parametrize("prompts", [7, None, {"a": 1}, ["a", 1.5]])
def test_prompts_that_are_none(prompts: Any) -> None:
    with pytest.raises(DataError, match="this is no prompt"):
        texts_of(prompts)


def test_ids_are_the_services_own(make: Any) -> None:
    for prompts in ([1, 2], [[1, 2], [3]]):
        with pytest.raises(Unsupported, match="its tokens are its own"):
            make().generate(prompts, max_new_tokens=5)
