"""Tokens and money are counted, and the limit is not passed."""

from typing import Any

import pytest

from trivium.errors import ConfigError
from trivium.lm.hosted.failure import MalformedReply, ServiceError
from trivium.lm.hosted.rate import Rate
from trivium.lm.hosted.spending import Meter, Spending, Usage

PRICES = {"input_per_million": 1e6, "output_per_million": 2e6}  # 1 a token read, 2 a token written


def test_what_was_used_is_counted_as_the_service_tells_it(make: Any) -> None:
    model = make(spending=Spending(**PRICES))
    assert model.usage == Usage(cost=0.0)
    model.generate(["a b c", "d"], max_new_tokens=9)
    assert model.usage == Usage(requests=2, input_tokens=20, output_tokens=4, cost=28.0)
    list(model.stream("a b", max_new_tokens=9))
    assert model.usage == Usage(requests=3, input_tokens=30, output_tokens=6, cost=42.0)
    claude = make("anthropic")
    claude.generate("a b c", max_new_tokens=9)
    list(claude.stream("a b", max_new_tokens=9))
    assert claude.usage == Usage(requests=2, input_tokens=20, output_tokens=5)


def test_what_is_not_told_is_estimated(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})]
    model = make()
    model.generate("x" * 30, max_new_tokens=7)
    assert model.usage == Usage(requests=1, input_tokens=18, output_tokens=7, estimated=1)


def test_what_cannot_be_read_is_charged_all_the_same(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply({"choices": []})]
    model = make()
    with pytest.raises(MalformedReply):
        model.generate("x" * 30, max_new_tokens=7)
    assert model.usage == Usage(requests=1, input_tokens=18, output_tokens=7, estimated=1)


def test_a_stream_that_breaks_off_is_counted_by_what_came(make: Any, server: Any, serving: Any) -> None:
    server.script = [
        serving.events(
            {"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 30}},
            dropped=True,
        )
    ]
    model = make("anthropic")
    with pytest.raises(ServiceError):
        list(model.stream("a", max_new_tokens=50))
    assert model.usage == Usage(requests=1, input_tokens=10, output_tokens=10, estimated=1)


def test_what_anthropic_read_from_its_cache_was_read(make: Any, server: Any, serving: Any) -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 40, "cache_creation_input_tokens": None, "output_tokens": 1}
    server.script = [
        serving.reply({"content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn", "usage": usage})
    ]
    model = make("anthropic")
    model.generate("x", max_new_tokens=7)
    assert model.usage.input_tokens == 43


def test_the_limit_stops_before_a_request(make: Any, server: Any) -> None:
    model = make(spending=Spending(**PRICES, limit=60.0))  # an answer: about 9 read, 10 written at most
    for _ in range(3):
        model.generate("a", max_new_tokens=10)
    assert model.usage.cost == 36.0
    with pytest.raises(ServiceError, match=r"36 USD spent[\s\S]*at most 60 USD[\s\S]*spending\.limit"):
        model.generate("a", max_new_tokens=10)
    with pytest.raises(ServiceError, match="no further request"):
        list(model.stream("a", max_new_tokens=10))
    assert len(server.asked) == 3
    assert model.generate("a", max_new_tokens=2)[0].text == "A"


def test_requests_that_are_under_way_count(make: Any) -> None:
    meter = Meter(Spending(**PRICES, limit=100.0))
    kept = meter.reserve(20, 20)
    with pytest.raises(ServiceError, match="60 in requests that are under way"):
        meter.reserve(1, 20)
    meter.add(20, 5)
    meter.release(kept)
    assert meter.reserve(30, 20) == 70.0


def test_a_failed_request_gives_back_what_was_set_aside(make: Any, server: Any, serving: Any) -> None:
    model = make(spending=Spending(**PRICES, limit=40.0))
    for _ in range(3):
        server.script = [serving.error(400)]
        with pytest.raises(ServiceError, match="400"):
            model.generate("a", max_new_tokens=10)
    assert model.usage == Usage(cost=0.0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"limit": 1.0}, "needs prices"),
        ({"input_per_million": 1.0}, "one of two prices"),
        ({"input_per_million": -1.0, "output_per_million": 1.0}, "input_per_million is an amount"),
        ({**PRICES, "limit": float("nan")}, "limit is an amount"),
    ],
)
def test_prices_that_are_none(given: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Spending(**given)


def test_the_rate_is_kept_and_put_right(make: Any, clock: Any) -> None:
    model = make(rate=Rate(requests_per_minute=60))
    for _ in range(8):
        model.generate("a", max_new_tokens=10)
    assert clock.slept == [1.0, 1.0]
    clock.slept.clear()
    model = make(rate=Rate(tokens_per_minute=6000))  # 600 at once, 100 a second
    model.generate("a", max_new_tokens=591)
    model.generate("a", max_new_tokens=591)  # the first used 11 of 600
    assert clock.slept == [pytest.approx(0.11)]
