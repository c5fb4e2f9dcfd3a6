"""Rewards that nobody learnt: whether an answer is right is looked up, counted or tried.

    number = verifier("number", {"What is 2 + 2?": 4})
    number(["What is 2 + 2?"], ["It is 2 + 2 = 4."])            # [1.0]
    brief = verifier("length", [1, 50])                         # the same is wanted of every answer

A verifier is a reward: called with prompts and answers it gives 0 to 1 for each. It cannot be argued with as a learnt
reward can, but it says no more than it looks at: an answer with the right number may still be nonsense.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, final

from trivium.config import did_you_mean
from trivium.errors import ConfigError, DataError, TriviumError
from trivium.evaluation.metrics.f1 import f1
from trivium.evaluation.metrics.words import reader
from trivium.evaluation.patterns import matches
from trivium.evaluation.tasks.arithmetic import bare_number

_SHOWN = 80
# Not the harness's pattern for a last number, which takes the three dots after one for another.
_NUMBER = re.compile(
    r"(?:(?<![\w)])[-\u2212])?\$?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3}(?!\d))?"
    r"|(?:(?<![\w)])[-\u2212])?(?<![\w.])\.\d+"
)
_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to verify an answer."""

    summary: str
    """What is wanted and when it is met, for people."""
    read: Callable[[Any], Any]
    """From what is wanted, as data have it, to what `grade` compares with. Raises `ValueError` for what is none."""
    grade: Callable[[Sequence[tuple[str, Any]], "Trial"], list[float]]
    """0 to 1 for each (answer, what is wanted of it)."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How answers are graded."""

    partial: bool = False
    """Part of the credit for part of what is wanted; otherwise all or nothing."""
    timeout_s: float = 5.0
    """Longest that a program may run, or an answer be compared with a pattern."""
    memory_mib: int = 256
    """Most memory that a program may take."""


@final
class Verifier:
    """A reward of 0 to 1 that compares each answer with what is wanted. Made by `verifier`."""

    def __init__(self, kind: Kind, wanted: Mapping[str, Any] | None, always: Any, trial: Trial) -> None:
        self._kind, self._wanted, self._always, self._trial = kind, wanted, always, trial

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """Raises `DataError` for a prompt of which nobody said what is wanted."""
        asked = [(answer, self._of(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
        return self._kind.grade(asked, self._trial)

    def _of(self, prompt: str) -> Any:
        if self._wanted is None:
            return self._always
        if prompt not in self._wanted:
            raise DataError(
                "nothing says what is wanted of the answer to a prompt",
                received=repr(prompt[:_SHOWN]),
                expected=f"one of the {len(self._wanted):,} prompts that came with what is wanted",
            )
        return self._wanted[prompt]


def verifier(name: str, wanted: Any, *, trial: Trial | None = None) -> Verifier:
    """The verifier `name` of `VERIFIERS`.

    `wanted` is a mapping from each prompt to what is wanted of its answer; anything else is wanted of every answer.
    Raises `ConfigError` for a name that is none, `DataError` for what such a verifier cannot want.
    """
    if name not in VERIFIERS:
        known = f"{', '.join(VERIFIERS)}"
        raise ConfigError("there is no such verifier", received=name, expected=known, fix=did_you_mean(name, VERIFIERS))
    kind, trial = VERIFIERS[name], trial or Trial()
    if not isinstance(wanted, Mapping):
        return Verifier(kind, None, _read(name, wanted, "of every answer"), trial)
    if not wanted:
        raise DataError(f"{name} has nothing to compare with", received="no prompt with what is wanted")
    places = {prompt: _read(name, value, f"after {prompt[:_SHOWN]!r}") for prompt, value in wanted.items()}
    return Verifier(kind, places, None, trial)


def wanted_of(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """(prompt, what is wanted) as the mapping that a verifier takes.

    Raises `DataError` where the same prompt wants two different things.
    """
    wanted: dict[str, Any] = {}
    for prompt, value in pairs:
        if wanted.setdefault(prompt, value) != value:
            raise DataError(
                "one prompt wants two different answers",
                received=f"{wanted[prompt]!r:.{_SHOWN}} and {value!r:.{_SHOWN}} after {prompt[:_SHOWN]!r}",
                fix="keep one of them; several that are equally right are a list",
            )
    return wanted


def _read(name: str, value: Any, where: str) -> Any:
    try:
        return VERIFIERS[name].read(value)
    except (TypeError, ValueError, re.error) as error:
        raise DataError(
            f"{name} cannot want this {where}",
            received=f"{value!r:.{_SHOWN}} ({error})",
            expected=VERIFIERS[name].summary,
        ) from None


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("no text")
    return list(texts)


def _exact_match(answer: str, wanted: list[str], trial: Trial) -> float:
    if trial.partial:
        return f1([answer], [wanted])["f1"]
    return float(answer.strip() in {text.strip() for text in wanted})


def last_number(text: str) -> Decimal | None:
    """The last number in a text, None without one. A hyphen behind a word or a number is no minus sign."""
    found = _NUMBER.findall(text)
    return Decimal(bare_number(found[-1]).replace("\u2212", "-")) if found else None


def _wanted_number(value: Any) -> Decimal:
    found = None if isinstance(value, bool) else last_number(str(value))
    if found is None:
        raise ValueError("no number")
    return found


def _number(answer: str, wanted: Decimal, trial: Trial) -> float:
    found = last_number(answer)
    if found is None or not trial.partial:
        return float(found == wanted)
    # The relative error, where it is below 1; of numbers below 1 the absolute one.
    return max(0.0, 1 - abs(float(found) - float(wanted)) / max(abs(float(wanted)), 1.0))


def _contains(answer: str, wanted: list[str], trial: Trial) -> float:
    text = answer.casefold()
    share = sum(piece.casefold() in text for piece in wanted) / len(wanted)
    return share if trial.partial else float(share == 1)


def _pattern(value: Any) -> str:
    return re.compile(value, re.DOTALL).pattern


def _formats(asked: Sequence[tuple[str, str]], trial: Trial) -> list[float]:
    found = matches([(pattern, answer.strip()) for answer, pattern in asked], timeout_s=trial.timeout_s)
    return [float(met) for met in found]


def _span(value: Any) -> tuple[int, int]:
    if isinstance(value, str):
        low, _, high = value.partition("-")
        value = int(low), int(high or low)
    low, high = (value, value) if isinstance(value, int) else value
    if type(low) is not int or type(high) is not int or not 1 <= low <= high:
        raise ValueError("no number of words")
    return low, high


def _length(answer: str, wanted: tuple[int, int], trial: Trial) -> float:
    (low, high), words = wanted, len(reader()(answer))
    if low <= words <= high or not trial.partial:
        return float(low <= words <= high)
    return words / low if words < low else max(0.0, 2 - words / high)


def code_in(answer: str) -> str:
    """The program in an answer: its last fenced block, or all of it where there is none."""
    blocks = _FENCED.findall(answer)
    return blocks[-1] if blocks else answer


def _programs(asked: Sequence[tuple[str, list[str]]], trial: Trial) -> list[float]:
    tests = [wanted if trial.partial else ["\n".join(wanted)] for _, wanted in asked]
    codes = [(code_in(answer), test) for (answer, _), each in zip(asked, tests, strict=True) for test in each]
    passed = iter(_passed(codes, trial))
    return [sum(next(passed) for _ in each) / len(each) for each in tests]


def _passed(codes: Sequence[tuple[str, str]], trial: Trial) -> list[bool]:
    """Whether each program, and then its tests, run to their end.

    The proof of the end is a word that is drawn anew: a program that exits before its tests, or prints that it has
    passed, has not. Tests and program share a process, so one that looks for that word in its own frame is not ruled
    out. Raises `TimeoutError` where the machine is too busy to start a sandbox.
    """
    from trivium.sandbox import run_many

    proof = secrets.token_hex(8)
    programs = [f"{code}\n\n{tests}\n\n{proof!r}" for code, tests in codes]
    try:
        results = run_many(programs, timeout_s=trial.timeout_s, memory_mib=trial.memory_mib)
    except TriviumError as error:
        if type(error) is TriviumError:  # the sandbox did not start, which says nothing of the program
            raise TimeoutError(str(error)) from error
        raise
    return [done.status == "ok" and done.value == proof for done in results]


def _each(grade: Callable[[str, Any, Trial], float]) -> Callable[[Sequence[tuple[str, Any]], Trial], list[float]]:
    return lambda asked, trial: [grade(answer, wanted, trial) for answer, wanted in asked]


VERIFIERS: Mapping[str, Kind] = {
    "exact_match": Kind(
        summary="a text, or a list of texts that are equally right; in part: F1 of the words",
        read=_texts,
        grade=_each(_exact_match),
    ),
    "number": Kind(
        summary="a number, or a text that ends with it, which the last number in the answer equals; in part: how near",
        read=_wanted_number,
        grade=_each(_number),
    ),
    "contains": Kind(
        summary="a text, or a list of texts that are all to stand in the answer, in any case; in part: how many do",
        read=_texts,
        grade=_each(_contains),
    ),
    "format": Kind(
        summary="a regular expression that the whole answer is to match, where . is any character",
        read=_pattern,
        grade=_formats,
    ),
    "length": Kind(
        summary="a number of words, or the least and the most, as 1-50; in part: how near",
        read=_span,
        grade=_each(_length),
    ),
    "program": Kind(
        summary="Python that raises unless the program in the answer is right, or a list of it; in part: how many pass",
        read=_texts,
        grade=_programs,
    ),
}
"""Name to way, in the order in which they are told."""
