"""No more requests and tokens a minute than a service allows: token buckets, kept on the side that asks."""

import threading
from dataclasses import dataclass

from trivium.errors import ConfigError
from trivium.lm.hosted.clock import Clock

_BURST_S = 6.0  # what may come at once: a tenth of a minute, so that a minute sees at most 1.1 times its allowance


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What a service allows; None for as much as it takes."""

    requests_per_minute: float | None = None
    """Requests a minute, tries that failed included."""
    tokens_per_minute: float | None = None
    """Tokens a minute, read and written: estimated before a request, put right after it."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be positive", received=value, fix=f"leave {name} out for no limit")


class Bucket:
    """A token bucket: it fills at an even pace, and may owe.

    Whoever takes more than is there waits until the debt is paid, in the order of asking; so a request that is larger
    than the bucket passes too, after as long as its size takes.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._per_second = per_minute / 60
        self._capacity = max(1.0, self._per_second * _BURST_S)
        self._level = self._capacity
        self._clock = clock
        self._seen = clock.now()
        self._lock = threading.Lock()

    def take(self, amount: float) -> None:
        """Takes ``amount`` out, and waits until there was so much."""
        with self._lock:
            self._fill()
            self._level -= amount
            wait = -self._level / self._per_second
        if wait > 0:
            self._clock.sleep(wait)

    def correct(self, amount: float) -> None:
        """Puts ``amount`` back that was not used, or takes what was used beyond it, without waiting."""
        with self._lock:
            self._fill()
            self._level = min(self._capacity, self._level + amount)

    def _fill(self) -> None:
        now = self._clock.now()
        self._level = min(self._capacity, self._level + (now - self._seen) * self._per_second)
        self._seen = now


class RateLimit:
    """The buckets of one service, shared by all that ask it."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        allowed = (rate.requests_per_minute, rate.tokens_per_minute)
        self._requests, self._tokens = (None if each is None else Bucket(each, clock) for each in allowed)

    def take(self, tokens: float) -> None:
        """Waits until a request of about ``tokens`` may be sent."""
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)

    def correct(self, estimated: float, used: float) -> None:
        """Puts an estimate right, when it is known what was used."""
        if self._tokens is not None:
            self._tokens.correct(estimated - used)
