"""What a service costs: tokens counted as it reports them, prices as its user states them.

No price is built in. Prices change without notice, differ by contract and by model, and a stale one would be worse than
none: what is not stated is not counted as money.
"""

import threading
from dataclasses import dataclass

from trivium.errors import ConfigError
from trivium.lm.hosted.failure import ServiceError


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Prices, and how much may be spent."""

    input_per_million: float | None = None
    """Price of a million tokens that are read."""
    output_per_million: float | None = None
    """Price of a million tokens that are written, thought included."""
    currency: str = "USD"
    """What the prices are in; it is only shown."""
    limit: float | None = None
    """No request is sent that could bring the cost of this model object above this. One whose answer was lost counts as
    if it had been answered at full length."""

    def __post_init__(self) -> None:
        for name in ("input_per_million", "output_per_million", "limit"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigError(f"{name} is an amount of money", received=value, expected="0 or more")
        if (self.input_per_million is None) != (self.output_per_million is None):
            raise ConfigError(
                "one of two prices is missing",
                expected="input_per_million and output_per_million",
                fix="state both; 0 where reading or writing is free",
            )
        if self.limit is not None and self.input_per_million is None:
            raise ConfigError(
                "a limit on spending needs prices",
                received=f"limit={self.limit:g}, and no prices",
                fix="state input_per_million and output_per_million, as the service's price list has them",
            )

    def cost(self, input_tokens: float, output_tokens: float) -> float | None:
        """Of so many tokens; None without prices."""
        if self.input_per_million is None or self.output_per_million is None:
            return None
        return (input_tokens * self.input_per_million + output_tokens * self.output_per_million) / 1e6


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What was used so far."""

    requests: int = 0
    """Requests that were answered, or may have been: the answer was lost on its way."""
    input_tokens: int = 0
    """Tokens read, as the service counts them."""
    output_tokens: int = 0
    """Tokens written, as the service counts them."""
    estimated: int = 0
    """Answers whose tokens the service did not tell (or that broke off, or were lost): theirs are estimates."""
    cost: float | None = None
    """By the prices that were stated; None without. What a service charges for failed requests is not known here."""


class Meter:
    """Counts, and stops before the limit. Safe to share between threads."""

    def __init__(self, spending: Spending) -> None:
        self._spending = spending
        self._lock = threading.Lock()
        self._requests = self._input = self._output = self._estimated = 0
        self._reserved = 0.0

    @property
    def usage(self) -> Usage:
        """So far."""
        with self._lock:
            return Usage(
                requests=self._requests,
                input_tokens=self._input,
                output_tokens=self._output,
                estimated=self._estimated,
                cost=self._spending.cost(self._input, self._output),
            )

    def reserve(self, input_tokens: int, output_tokens: int) -> float:
        """What a request may cost, set aside until ``release``. Raises ``ServiceError`` where it is too much."""
        price = self._spending.cost(input_tokens, output_tokens)
        if price is None:
            return 0.0
        with self._lock:
            spent = self._spending.cost(self._input, self._output) or 0.0
            limit = self._spending.limit
            if limit is not None and spent + self._reserved + price > limit:
                unit = self._spending.currency
                raise ServiceError(
                    "the spending limit ends here: no further request is sent",
                    received=f"{spent:.6g} {unit} spent, {self._reserved:.6g} in requests that are under way, "
                    f"and up to {price:.6g} for the next",
                    expected=f"at most {limit:g} {unit}",
                    fix="raise spending.limit, or ask for shorter answers",
                )
            self._reserved += price
        return price

    def release(self, reserved: float) -> None:
        """Ends what ``reserve`` began."""
        with self._lock:
            self._reserved = max(0.0, self._reserved - reserved)

    def add(self, input_tokens: int, output_tokens: int, *, estimated: bool = False) -> None:
        """Counts one request that was answered."""
        with self._lock:
            self._requests += 1
            self._input += input_tokens
            self._output += output_tokens
            self._estimated += estimated
