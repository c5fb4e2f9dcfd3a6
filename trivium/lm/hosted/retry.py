"""Trying again: exponential back-off with jitter, bounded in tries and in time, at the pace that a service asks for.

The wait before try k + 1 is drawn from [0, min(longest, first * 2^(k - 1))], "full jitter": clients that were refused
together do not come back together (Brooker 2015, "Exponential Backoff and Jitter"). Where the service names a time, it
is waited for at least so long.

A request that was surely not answered (refused, or never wholly sent) is sent again. One whose answer was lost on its
way may have been paid for; the clients that OpenAI and Anthropic publish send that again too, twice unless they are
told otherwise (``max_retries``), and here it is a setting, ``Patience.resend``.
"""

import email.utils
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from trivium.errors import ConfigError
from trivium.lm.hosted.clock import Clock
from trivium.lm.hosted.failure import ServiceError

RETRIED = frozenset({408, 409, 429})
"""Refusals that may pass, beside every 5xx."""

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a service is waited for, and how often it is asked."""

    connect_s: float = 10.0
    """Longest wait for a connection."""
    read_s: float = 120.0
    """Longest silence while an answer is waited for or comes."""
    total_s: float = 600.0
    """Longest that one answer may take, all tries and the waits between them included."""
    tries: int = 5
    """How often a request is sent at most; 1 for no second try."""
    resend: bool = False
    """Send a request again whose answer was lost: silence, or a connection that broke after it was sent. The service
    may have answered, and charge for each."""
    first_wait_s: float = 0.5
    """Longest wait before the second try; it doubles with each further one."""
    longest_wait_s: float = 30.0
    """Where that doubling ends."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "resend" and not value > 0:
                raise ConfigError(f"{name} must be positive", received=value, expected="a number above 0")


def retry(
    attempt: Callable[[float], Result], patience: Patience, clock: Clock, *, admit: Callable[[], None] = lambda: None
) -> Result:
    """What ``attempt`` gives, tried again where it may help; it is told the moment that everything has to end at.

    ``admit`` waits until a try may be sent, and how long that takes does not count. Raises the last ``ServiceError``,
    with the number of tries.
    """
    ends = clock.now() + patience.total_s
    number = 0
    while True:
        number += 1
        ends += _spent(admit, clock)
        try:
            return attempt(ends)
        except ServiceError as error:
            _wait(error, number, patience, clock, ends)


def retry_stream(
    attempt: Callable[[float], Iterator[Result]],
    patience: Patience,
    clock: Clock,
    *,
    admit: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """As ``retry``, for what comes piece by piece: once a piece was given out, nothing is tried again."""
    ends = clock.now() + patience.total_s
    number = 0
    while True:
        number += 1
        ends += _spent(admit, clock)
        given = False
        try:
            for piece in attempt(ends):
                given = True
                yield piece
            return
        except ServiceError as error:
            if given:
                raise _counted(error, number) from None
            _wait(error, number, patience, clock, ends)


def _spent(admit: Callable[[], None], clock: Clock) -> float:
    began = clock.now()
    admit()
    return clock.now() - began


def _wait(error: ServiceError, number: int, patience: Patience, clock: Clock, ends: float) -> None:
    """Waits after try ``number``. Raises ``error`` where there is to be no other."""
    if not error.again or number >= patience.tries or (error.charged and not patience.resend):
        raise _counted(error, number) from None
    longest = min(patience.longest_wait_s, patience.first_wait_s * 2 ** (number - 1))
    wait = max(clock.chance() * longest, error.wait_s or 0.0)
    if clock.now() + wait >= ends:
        raise _counted(error, number, too_long=f"the next try would be after {wait:.0f} s") from None
    clock.sleep(wait)


def _counted(error: ServiceError, number: int, too_long: str | None = None) -> ServiceError:
    """The error, which says how often it was tried, without what it came from: that holds the request, and its key."""
    error.__context__ = None
    notes = ([f"{number} tries"] if number > 1 else []) + ([too_long] if too_long else [])
    if notes:
        error.what = f"{error.what} ({', '.join(notes)})"
    return error


def asked_wait(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Seconds that a service asks to be left alone: ``retry-after-ms``, or ``Retry-After`` in seconds or as a date
    (RFC 9110, section 10.2.3)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            wait = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        return wait if 0 <= wait < float("inf") else None
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, moment.timestamp() - clock.date())
    except (ValueError, OverflowError):
        return None
