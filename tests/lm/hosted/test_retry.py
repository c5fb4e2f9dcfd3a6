"""Trying again: when, how long after, how often."""

import dataclasses
from typing import Any

import pytest

from trivium.errors import ConfigError
from trivium.lm.hosted.failure import ServiceError
from trivium.lm.hosted.retry import Patience, asked_wait, retry, retry_stream
from trivium.lm.hosted.spending import Spending, Usage

OFTEN = Patience(tries=4, first_wait_s=1.0, longest_wait_s=3.0, total_s=100.0)


def failing(times: int, **error: Any) -> Any:
    """An attempt that fails so often and then gives 7."""
    left = [times]

    def attempt(ends: float) -> int:
        left[0] -= 1
        if left[0] >= 0:
            raise ServiceError("no", **{"again": True, **error})
        return 7

    return attempt


def test_waits_double_up_to_their_bound_with_jitter(clock: Any) -> None:
    assert retry(failing(3), OFTEN, clock.clock) == 7
    assert clock.slept == [0.5, 1.0, 1.5]  # half of 1, 2, 3, for the clock's chance is one half


def test_the_last_error_counts_the_tries(clock: Any) -> None:
    with pytest.raises(ServiceError, match=r"no \(4 tries\)"):
        retry(failing(9), OFTEN, clock.clock)
    assert len(clock.slept) == 3


def test_what_would_not_help_is_not_tried_again(clock: Any) -> None:
    with pytest.raises(ServiceError) as caught:
        retry(failing(9, again=False), OFTEN, clock.clock)
    assert caught.value.what == "no"
    assert clock.slept == []


def test_the_service_may_ask_for_a_longer_wait(clock: Any) -> None:
    assert retry(failing(1, wait_s=20.0), OFTEN, clock.clock) == 7
    assert clock.slept == [20.0]
    with pytest.raises(ServiceError, match="the next try would be after 120 s"):
        retry(failing(1, wait_s=120.0), OFTEN, clock.clock)
    assert clock.slept == [20.0]


def test_all_tries_end_at_one_moment(clock: Any) -> None:
    seen = []

    def attempt(ends: float) -> None:
        seen.append(ends)
        clock.time += 60
        raise ServiceError("slow", again=True)

    with pytest.raises(ServiceError, match="2 tries, the next try"):
        retry(attempt, OFTEN, clock.clock)
    assert seen == [1100.0] * 2


def test_what_is_waited_for_the_rate_does_not_count(clock: Any) -> None:
    assert retry(failing(2), OFTEN, clock.clock, admit=lambda: clock.sleep(90.0)) == 7
    assert clock.slept == [90.0, 0.5, 90.0, 1.0, 90.0]


def test_a_stream_is_tried_again_only_before_its_first_piece(clock: Any) -> None:
    left = [2]

    def attempt(ends: float) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise ServiceError("before", again=True)
        yield "a"
        raise ServiceError("after", again=True)

    pieces = retry_stream(attempt, OFTEN, clock.clock)
    assert next(pieces) == "a"
    with pytest.raises(ServiceError, match="after"):
        next(pieces)
    assert len(clock.slept) == 2


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_a_service_asks_to_be_left_alone(headers: dict[str, str], wait: float | None, clock: Any) -> None:
    assert asked_wait(headers, clock.clock) == wait


def test_a_lost_answer_is_asked_for_again_only_where_that_is_wanted(clock: Any) -> None:
    with pytest.raises(ServiceError):
        retry(failing(1, charged=True), OFTEN, clock.clock)
    assert clock.slept == []
    assert retry(failing(1, charged=True), dataclasses.replace(OFTEN, resend=True), clock.clock) == 7


def test_patience_is_positive() -> None:
    for name in ("connect_s", "read_s", "total_s", "tries"):
        with pytest.raises(ConfigError, match=f"{name} must be positive"):
            Patience(**{name: 0})


# Over the wire -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_passing_refusals_are_tried_again(status: int, make: Any, server: Any, serving: Any, clock: Any) -> None:
    server.script = [serving.error(status), serving.error(status)]
    assert make().generate("hello", max_new_tokens=5)[0].text == "HELLO"
    assert clock.slept == [0.25, 0.5]
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_lasting_refusals_are_not(status: int, make: Any, server: Any, serving: Any, clock: Any) -> None:
    server.script = [serving.error(status, "the model is unwell")]
    with pytest.raises(ServiceError, match=f"received: {status}: the model is unwell"):
        make().generate("hello", max_new_tokens=5)
    assert (clock.slept, len(server.asked)) == ([], 1)


def test_retry_after_is_honoured(make: Any, server: Any, serving: Any, clock: Any) -> None:
    server.script = [serving.error(429, Retry_After="11")]
    assert make().generate("hello", max_new_tokens=5)[0].text == "HELLO"
    assert clock.slept == [11.0]


def test_an_empty_account_is_not_asked_again(make: Any, server: Any, serving: Any, clock: Any) -> None:
    server.script = [serving.error(429, "pay first", "insufficient_quota")]
    with pytest.raises(ServiceError, match=r"pay first[\s\S]*your account"):
        make().generate("hello", max_new_tokens=5)
    assert clock.slept == []


@pytest.mark.parametrize("script", ["drop", "cut_off", "silence"])
@pytest.mark.parametrize("way", ["generate", "stream"])
def test_what_may_have_been_answered_is_asked_once(
    script: str, way: str, make: Any, server: Any, serving: Any, clock: Any
) -> None:
    server.script = [getattr(serving, script)]
    if (script, way) == ("cut_off", "stream"):
        server.script = [serving.events()]
    model = make(patience=Patience(read_s=0.1 if script == "silence" else 5.0))
    with pytest.raises(ServiceError, match=r"does not answer|connection to the service broke|broke its answer off"):
        list(getattr(model, way)("x" * 30, max_new_tokens=7))
    assert (clock.slept, len(server.asked)) == ([], 1)
    assert model.usage == Usage(requests=1, input_tokens=18, output_tokens=7, estimated=1)


@pytest.mark.parametrize("way", ["generate", "stream"])
def test_it_is_asked_again_where_that_is_wanted(way: str, make: Any, server: Any, serving: Any, clock: Any) -> None:
    server.script = [serving.drop, serving.drop]
    model = make(patience=Patience(**serving.QUICK, resend=True))
    found = getattr(model, way)("hello", max_new_tokens=5)
    assert (found[0].text if way == "generate" else "".join(found)) == "HELLO"
    assert (len(clock.slept), len(server.asked)) == (2, 3)
    assert (model.usage.requests, model.usage.estimated) == (3, 2)


def test_silence_is_told_with_its_bound(make: Any, server: Any, serving: Any, clock: Any) -> None:
    server.script = [serving.silence] * 2
    model = make(patience=Patience(read_s=0.05, tries=2, resend=True))
    with pytest.raises(ServiceError, match=r"does not answer \(2 tries\)[\s\S]*0\.05 s[\s\S]*patience\.read_s"):
        model.generate("hello", max_new_tokens=5)


def test_each_try_that_may_be_charged_counts_towards_the_limit(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.drop] * 9
    prices = Spending(input_per_million=1e6, output_per_million=1e6, limit=60.0)  # a try: 18 read, 7 written
    model = make(patience=Patience(**serving.QUICK, tries=9, resend=True), spending=prices)
    with pytest.raises(ServiceError, match=r"spending limit ends here: no further request is sent \(3 tries\)"):
        model.generate("x" * 30, max_new_tokens=7)
    assert (len(server.asked), model.usage.cost) == (2, 50.0)
