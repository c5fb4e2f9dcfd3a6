"""Calls of a reward that are checked: one finite number an answer, or it is said for which answer there is none.

    reward = CheckedReward(lambda prompts, answers: [float(len(answer)) for answer in answers])
    reward(["Hello"], ["Hi!"])                              # [3.0]

A reward may be anything that can be called: a network, a program, a service. What it gives trains a model, so a NaN, a
None, a text, or a list of another length is refused here, where the answer is still known, and not in a gradient.
"""

import math
import numbers
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, final, runtime_checkable

import numpy as np
from torch import Tensor

from trivium.errors import ConfigError, DataError, Interrupted, TriviumError, Unsupported, UserError

_SHOWN = 80  # characters of a prompt and of an answer in a message
_WANTED = "one finite number an answer"


@runtime_checkable
class Reward(Protocol):
    """What answers are worth: one number an answer, higher is better."""

    def __call__(self, prompts: list[str], answers: list[str], /) -> Sequence[float]:
        """The worth of each answer to the prompt at its place."""
        ...


class RewardFault(UserError):
    """A reward gave something else than one finite number an answer."""


class RewardUnavailable(TriviumError):
    """A reward could not be reached, however often it was tried. The answers are not at fault: try again later."""


@final
class CheckedReward:
    """A reward that gives a finite number for every answer, or None where one is left out by choice.

    `asked`, `skipped` and `empty` count answers since it was made: all, those left out, and those of nothing but white
    space, which are handed on as they are (what they are worth is the reward's business).
    """

    def __init__(
        self,
        reward: Reward,
        *,
        name: str = "reward",
        on_fault: Literal["stop", "skip"] = "stop",
        attempts: int = 3,
        first_wait_s: float = 2.0,
        unavailable: tuple[type[Exception], ...] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`on_fault` decides about an answer without a number: stop with an error that names it, or leave it out.

        What is raised because a service cannot be reached (`OSError` with `ConnectionError` and `TimeoutError`, and
        the kinds in `unavailable`) is no fault of an answer: the call is made `attempts` times in all, after
        `first_wait_s` seconds, then after twice as long, and so on. `name` is what messages call the reward. Raises
        `ConfigError` for no attempt at all.
        """
        if attempts < 1 or first_wait_s < 0:
            raise ConfigError(
                "attempts must be 1 or more, and the wait between them not negative",
                received=f"{attempts} attempts, {first_wait_s:g} s",
            )
        self._reward, self._name, self._on_fault = reward, name, on_fault
        self._attempts, self._first_wait_s, self._sleep = attempts, first_wait_s, sleep
        self._unavailable = (OSError, *unavailable)
        self.asked = self.skipped = self.empty = 0
        self.last_fault: RewardFault | None = None
        """Why an answer was left out last."""

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float | None]:
        """The reward of each answer; None where it is left out, which is never all of them.

        Raises `RewardFault` with the number of the answer, its beginning and that of its prompt; `RewardUnavailable`
        where the reward cannot be reached; `DataError` where prompts and answers are not as many. `Unsupported` and
        `Interrupted` of the reward pass through: they are about no answer.
        """
        if len(prompts) != len(answers):
            raise DataError(
                "prompts and answers do not belong together",
                received=f"{len(prompts)} prompts, {len(answers)} answers",
            )
        if not answers:
            return []
        asked = list(zip(prompts, answers, strict=True))
        found = self._together(asked)
        faults = [value for value in found if isinstance(value, RewardFault)]
        if faults:
            self._heed(faults, len(asked))
        self.asked += len(asked)
        self.skipped += len(faults)
        self.empty += sum(not answer.strip() for answer in answers)
        return [None if isinstance(value, RewardFault) else value for value in found]

    def _heed(self, faults: list[RewardFault], count: int) -> None:
        if self._on_fault == "stop":
            raise faults[0]
        self.last_fault = faults[-1]
        if len(faults) == count:
            raise RewardFault(
                f"the {self._name} gave no number for any of {count} answers, the first of which is told here",
                received=faults[0].received,
                expected=_WANTED,
                fix="mend the reward: an update needs at least one answer with a number",
            ) from faults[0].__cause__

    def _together(self, asked: list[tuple[str, str]]) -> list[float | RewardFault]:
        """One number or fault an answer, from one call for all, and from one for each where that call fails."""
        try:
            values = _listed(self._called(asked), len(asked))
        except _Failed as failed:
            return self._one_by_one(asked, failed)
        return [self._number(asked, place, value) for place, value in enumerate(values)]

    def _one_by_one(self, asked: list[tuple[str, str]], failed: "_Failed") -> list[float | RewardFault]:
        """Finds for which answers a call fails that failed for all of `asked`."""
        found: list[float | RewardFault] = []
        for place, one in enumerate(asked):
            try:
                value = self._number(asked, place, _listed(self._called([one]), 1)[0])
            except _Failed as alone:
                value = self._fault(asked, place, str(alone), alone.__cause__)
            found.append(value)
            if isinstance(value, RewardFault) and self._on_fault == "stop":
                return found
        if self._on_fault == "stop":
            raise RewardFault(
                f"the {self._name} fails for {len(asked)} answers together, and for none of them alone",
                received=failed,
                expected=_WANTED,
            ) from failed.__cause__
        return found

    def _called(self, asked: list[tuple[str, str]]) -> object:
        """What the reward gives, whatever that is. Raises `_Failed` for what it raises."""
        prompts, answers = [prompt for prompt, _ in asked], [answer for _, answer in asked]
        attempt = 1
        while True:
            try:
                return self._reward(prompts, answers)
            except (Interrupted, Unsupported):
                raise
            except self._unavailable as error:
                if attempt == self._attempts:
                    raise RewardUnavailable(
                        f"the {self._name} could not be reached, tried {attempt} time{'s' * (attempt > 1)}: "
                        f"{_named(error)}"
                    ) from error
                self._sleep(self._first_wait_s * 2 ** (attempt - 1))
                attempt += 1
            except Exception as error:
                raise _Failed(f"it raised {_named(error)}") from error

    def _number(self, asked: list[tuple[str, str]], place: int, value: object) -> float | RewardFault:
        number = _finite(value)
        return self._fault(asked, place, _short(repr(value))) if number is None else number

    def _fault(
        self, asked: list[tuple[str, str]], place: int, received: str, cause: BaseException | None = None
    ) -> RewardFault:
        prompt, answer = (_short(repr(text)) for text in asked[place])
        fault = RewardFault(
            f"the {self._name} gave no number for answer {place + 1} of {len(asked)}",
            received=f"{received}\nprompt: {prompt}\nanswer: {answer}",
            expected=_WANTED,
            fix="mend the reward, or leave such answers out with on_fault skip",
        )
        fault.__cause__ = cause
        return fault


@final
class SummedReward:
    """Several rewards added up, each with its weight: `SummedReward([("number", 1.0, number), ("format", 0.2, form)])`.

    Made to be checked: where one of them gives no number for an answer, what stands in its place says which.
    """

    def __init__(self, parts: Sequence[tuple[str, float, Reward]]) -> None:
        """`parts` are (name, weight, reward)."""
        self._parts = list(parts)

    def __call__(self, prompts: list[str], answers: list[str]) -> list[Any]:
        """The weighted sums. Raises `DataError` for a part that gives another number of values."""
        columns = [
            self._column(name, weight, reward(prompts, answers), len(answers)) for name, weight, reward in self._parts
        ]
        return [_sum(values) for values in zip(*columns, strict=True)]

    def _column(self, name: str, weight: float, given: object, count: int) -> list["float | _NoNumber"]:
        try:
            values = _listed(given, count)
        except _Failed as failed:
            raise DataError(f"the reward {name} gave no number for each answer", received=failed) from None
        found = [_finite(value) for value in values]
        return [
            _NoNumber(f"{name}: {_short(repr(value))}") if number is None else weight * number
            for value, number in zip(values, found, strict=True)
        ]


@final
class _NoNumber:
    """What stands where a sum has a part that is no number; it is written as its reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __repr__(self) -> str:
        return self._reason


def _sum(values: "Sequence[float | _NoNumber]") -> "float | _NoNumber":
    return next((value for value in values if isinstance(value, _NoNumber)), None) or math.fsum(
        value for value in values if not isinstance(value, _NoNumber)
    )


class _Failed(Exception):
    """A whole call gave nothing that belongs to the answers; the message says what it gave instead."""


def _listed(given: object, count: int) -> Sequence[Any]:
    """`given` as `count` values. Raises `_Failed` where it is something else."""
    values = given.tolist() if isinstance(given, Tensor | np.ndarray) else given
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise _Failed(f"{type(given).__name__} in place of a list")
    if len(values) != count:
        raise _Failed(f"{len(values)} value{'s' * (len(values) != 1)} for {count} answer{'s' * (count != 1)}")
    return values


def _finite(value: object) -> float | None:
    """`value` as a finite number, None where it is none."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.shape == ():
        value = value.item()
    try:
        number = float(value) if isinstance(value, numbers.Real) else math.nan
    except OverflowError:  # a whole number beyond float64
        return None
    return number if math.isfinite(number) else None


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {_short(str(error))}" if str(error) else type(error).__name__


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
