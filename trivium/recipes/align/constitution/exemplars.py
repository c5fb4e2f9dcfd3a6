"""Worked examples that stand before what a critic or a judge is asked, so that a model without chat knows the form."""

import dataclasses
import functools
import pathlib
from typing import Literal

from trivium import config
from trivium.errors import ConfigError

_OURS = pathlib.Path(__file__).with_name("exemplars.yaml")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RevisionExemplar:
    """An answer, what is wrong with it, and a better one."""

    asked: str
    """What the user says."""
    answer: str
    """What the assistant said first."""
    critique_request: str
    """As a principle puts it."""
    critique: str
    """What a critic finds."""
    revision_request: str
    """As a principle puts it."""
    revision: str
    """The better answer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComparisonExemplar:
    """Two answers, and which is better."""

    asked: str
    """What the user says."""
    question: str
    """As a principle puts it."""
    first: str
    """The answer (A)."""
    second: str
    """The answer (B)."""
    thoughts: str
    """Why one is better; read only where the judge is to think first."""
    better: Literal["A", "B"]
    """Which one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exemplars:
    """All of them, in the order in which they are left out from the front where a model has no room for all."""

    revisions: tuple[RevisionExemplar, ...]
    """For a critic."""
    comparisons: tuple[ComparisonExemplar, ...]
    """For a judge."""

    def __post_init__(self) -> None:
        won = [exemplar.better for exemplar in self.comparisons]
        if abs(won.count("A") - won.count("B")) > 1:
            raise ConfigError(
                "worked comparisons that are mostly won by one place teach a judge to prefer it",
                received=f"(A) {won.count('A')} times, (B) {won.count('B')} times",
                expected="about as many of either",
                fix="swap the answers of some of them",
            )


@functools.cache
def exemplars(path: pathlib.Path | None = None) -> Exemplars:
    """Those of a YAML file; ours where none is given. Raises `ConfigError` or `StorageError` as `config.from_yaml`."""
    return config.from_yaml(Exemplars, path or _OURS)
