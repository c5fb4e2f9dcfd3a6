"""Answers as they come, to their end or not."""

from typing import Any

import pytest

from trivium.errors import DataError, Unsupported
from trivium.lm.hosted.failure import MalformedReply, ServiceError
from trivium.lm.hosted.retry import Patience

PROTOCOLS = {"openai": "openai", "vllm": "vllm", "anthropic": "anthropic"}


def delta(text: str, ended: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": ended}]}


@pytest.mark.parametrize("provider", PROTOCOLS)
def test_pieces_are_the_whole_answer(provider: str, make: Any) -> None:
    model = make(provider)
    pieces = list(model.stream("one two three", max_new_tokens=9))
    assert pieces == ["ONE", " TWO", " THREE"]
    assert "".join(pieces) == model.generate("one two three", max_new_tokens=9)[0].text
    grown, steps = model.follow("one two three", max_new_tokens=2)
    assert grown.finish_reason is None
    assert sum(1 for _ in steps) == 3
    assert (grown.pieces, grown.finish_reason) == (["ONE", " TWO"], "length")


@pytest.mark.parametrize("provider", PROTOCOLS)
def test_a_chat_as_it_comes(provider: str, make: Any) -> None:
    grown, steps = make(provider).follow_chat([{"role": "user", "content": "a b"}], max_new_tokens=9)
    list(steps)
    assert (grown.pieces, grown.finish_reason) == (["A", " B"], "stop")


def test_a_chat_of_a_service_that_does_not_stream(make: Any, server: Any) -> None:
    model = make(can=("chat",))
    grown, steps = model.follow_chat([{"role": "user", "content": "a b"}], max_new_tokens=9)
    list(steps)
    assert (grown.pieces, grown.finish_reason) == (["A B"], "stop")
    assert "stream" not in server.asked[0]


def test_a_stream_that_fails_before_its_text_is_tried_again(make: Any, server: Any, serving: Any, clock: Any) -> None:
    role = {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    server.script = [
        serving.error(503),
        serving.events(role, dropped=True),
        serving.events({"error": {"type": "server_error", "message": "x"}}),
        serving.events(role),
    ]
    model = make(patience=Patience(**serving.QUICK, resend=True))
    assert list(model.stream("hello", max_new_tokens=5)) == ["HELLO"]
    assert len(clock.slept) == 4
    assert model.usage.estimated == 2  # the two whose end was lost


@pytest.mark.parametrize(
    ("more", "dropped", "told"),
    [
        ((), True, "connection to the service broke"),
        ((), False, "before the answer said why it ended"),
        (("[DONE]",), False, "before the answer said why it ended"),
        (({"error": {"type": "server_error", "message": "out of memory"}},), False, "server_error: out of memory"),
        (("{not JSON",), False, "not JSON"),
        (({"choices": 3},), False, "choices of the service's reply is no list"),
        (({"choices": ["x"]},), False, "choices.0 of the service's reply is no dict"),
        (({"choices": [{"delta": {"content": 3}, "finish_reason": None}]},), False, "delta.content"),
    ],
)
def test_a_stream_that_breaks_after_text_was_given_is_not_tried_again(
    more: tuple[Any, ...], dropped: bool, told: str, make: Any, server: Any, serving: Any, clock: Any
) -> None:
    server.script = [serving.events(delta("He"), delta("llo"), *more, dropped=dropped)]
    model = make()
    grown, steps = model.follow("hello", max_new_tokens=5)
    with pytest.raises(ServiceError, match=told):
        list(steps)
    assert (grown.pieces, grown.finish_reason) == (["He", "llo"], None)
    assert (clock.slept, len(server.asked)) == ([], 1)
    assert model.usage.estimated == 1


def test_an_error_of_anthropic_in_the_middle(make: Any, server: Any, serving: Any) -> None:
    text = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}
    server.script = [serving.events(text, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})]
    pieces = make("anthropic").stream("hello", max_new_tokens=5)
    assert next(pieces) == "a"
    with pytest.raises(ServiceError, match="overloaded_error: busy"):
        next(pieces)


def test_an_answer_that_has_ended_may_lose_its_connection(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.events(delta("Hi"), delta("", "stop"), dropped=True)]
    assert list(make().stream("hello", max_new_tokens=5)) == ["Hi"]


def test_a_stream_that_is_none(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply({"choices": []})]
    with pytest.raises(MalformedReply, match=r"asked for a stream[\s\S]*application/json[\s\S]*generate"):
        list(make().stream("hello", max_new_tokens=5))


def test_who_stops_listening_closes_the_connection(make: Any, server: Any, serving: Any) -> None:
    model = make()
    pieces = model.stream("one two three", max_new_tokens=9)
    assert next(pieces) == "ONE"
    pieces.close()
    assert model.usage.estimated == 1
    assert list(model.stream("again", max_new_tokens=9)) == ["AGAIN"]


def test_what_a_stream_is_not_asked(make: Any, server: Any) -> None:
    with pytest.raises(DataError, match="a stream is one answer"):
        make().stream("hello", max_new_tokens=5, n=2)
    with pytest.raises(Unsupported, match="does not take the setting beams"):
        make().stream("hello", max_new_tokens=5, beams=2)
    assert server.asked == []
