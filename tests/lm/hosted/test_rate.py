"""Token buckets, on a clock that does not wait."""

import threading
from typing import Any

import pytest

from trivium.errors import ConfigError
from trivium.lm.hosted.rate import Bucket, Rate, RateLimit


def test_a_bucket_lets_a_burst_through_and_then_its_pace(clock: Any) -> None:
    bucket = Bucket(60, clock.clock)  # one a second, six at once
    for _ in range(10):
        bucket.take(1)
    assert clock.slept == [1.0] * 4
    clock.time += 3
    for _ in range(4):
        bucket.take(1)
    assert clock.slept == [1.0] * 5


def test_what_is_larger_than_the_bucket_takes_as_long_as_its_size(clock: Any) -> None:
    bucket = Bucket(600, clock.clock)
    bucket.take(160)
    assert clock.slept == [10.0]
    bucket.correct(50)  # it used less
    bucket.take(50)
    assert clock.slept == [10.0]
    bucket.correct(-20)  # it used more
    bucket.take(10)
    assert clock.slept == [10.0, 3.0]


def test_no_minute_sees_more_than_a_tenth_above_the_allowance(clock: Any) -> None:
    limit, sent = RateLimit(Rate(requests_per_minute=30), clock.clock), []
    for _ in range(200):
        limit.take(1)
        sent.append(clock.time)
    most = max(sum(start <= moment < start + 60 for moment in sent) for start in sent)
    assert most <= 33


def test_threads_wait_one_after_the_other(clock: Any) -> None:
    bucket = Bucket(60, clock.clock)
    bucket.take(6)
    waits = []
    clock.sleep, lock = None, threading.Lock()
    bucket._clock = type(clock.clock)(
        now=lambda: 1000.0, sleep=lambda wait: (lock.acquire(), waits.append(wait), lock.release())
    )
    threads = [threading.Thread(target=bucket.take, args=(1,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [float(wait) for wait in range(1, 9)]


def test_no_limit_does_not_wait(clock: Any) -> None:
    limit = RateLimit(Rate(), clock.clock)
    limit.take(1e9)
    limit.correct(1, 2)
    assert clock.slept == []
    with pytest.raises(ConfigError, match="requests_per_minute must be positive"):
        Rate(requests_per_minute=0)
