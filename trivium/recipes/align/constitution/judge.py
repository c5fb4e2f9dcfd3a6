"""A judge of two answers: how probable it is that one is better, in both orders, and whether it can say at all.

Bai et al. 2022, section 4.1: the judge is asked which of (A) and (B) is better, and the normalised probabilities of the
two are the label. Which stands first matters to every judge, so each pair is asked in both orders and the mean taken. A
judge whose probabilities cannot be had is asked for words, of which "(A)" or "(B)" is read.
"""

import dataclasses
import math
import re
from collections.abc import Sequence

from trivium.recipes.align.constitution.chance import seed_of
from trivium.recipes.align.constitution.constitution_config import FeedbackConfig
from trivium.recipes.align.constitution.exemplars import ComparisonExemplar
from trivium.recipes.align.constitution.principles import Principle
from trivium.recipes.align.constitution.revise import Messages
from trivium.recipes.align.constitution.wording import (
    LABELS,
    STOPS,
    THOUGHT_STOPS,
    VERDICT,
    comparison_text,
    verdict_text,
)
from trivium.recipes.align.constitution.writing import Speaker, with_room, write

CLAMP = (0.4, 0.6)
"""Where the label of a judge that thinks first is held (section 4.1): its reasons say openly which is better, so that
its probabilities are near 0 or 1 whether it is right or not."""
_VERDICT_TOKENS = 8
_MARKED = re.compile(r"\(([AB])\)")
_BARE = re.compile(r"\W*(?:(?:option|answer)\s+)?([AB])\W*(?:\n|$)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """Two answers to compare under one principle."""

    key: tuple[str | int, ...]
    """What it is about, as ("pair", 17, "lawful"): its chance depends on that alone."""
    messages: Messages
    """What was asked."""
    answers: tuple[str, str]
    """The two, in the order in which they were written."""
    principle: Principle
    """What is looked at."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opinion:
    """What a judge says to one question."""

    orders: tuple[float | None, float | None]
    """How probable it is that the first answer is the better one: asked in their order, and with the two swapped. None
    where the judge has said neither, also when asked again."""
    asked_again: bool
    """It has said neither at first."""
    too_long: bool = False
    """The judge has no room for the question."""

    @property
    def probability(self) -> float | None:
        """The mean of both orders; None where one of them is not known."""
        one, other = self.orders
        return None if one is None or other is None else (one + other) / 2

    @property
    def flipped(self) -> bool:
        """The other answer was better once they were swapped: the judge goes by their place."""
        one, other = self.orders
        return one is not None and other is not None and (one - 0.5) * (other - 0.5) < 0

    @property
    def of_first_place(self) -> float | None:
        """How probable it found the option in the first place, whichever it was; 0.5 of a judge without a bias."""
        one, other = self.orders
        return None if one is None or other is None else (one + 1 - other) / 2


@dataclasses.dataclass(frozen=True, eq=False)
class _Asked:
    """A question in one of its two orders."""

    question: Question
    swapped: bool

    @property
    def options(self) -> tuple[str, str]:
        first, second = (answer.strip() for answer in self.question.answers)
        return (second, first) if self.swapped else (first, second)


class Judge:
    """Gives its opinion on questions; what it is asked again is asked once."""

    def __init__(self, model: Speaker, exemplars: Sequence[ComparisonExemplar], config: FeedbackConfig, *, seed: int):
        self._model = model
        self._exemplars = exemplars
        self._config = config
        self._seed = seed

    def __call__(self, questions: Sequence[Question]) -> list[Opinion]:
        """An opinion on each question."""
        asked = [_Asked(question, swapped) for question in questions for swapped in (False, True)]
        texts = [self._text(each, insist=True) for each in asked]  # the longer of the two that it may be asked
        fitting = [each for each, text in zip(asked, texts, strict=True) if text is not None]
        said = self._said(fitting, insist=False)
        unsaid = [each for each in fitting if said[each] is None]
        said |= self._said(unsaid, insist=True)
        return [
            Opinion(
                orders=(said.get(one), _swapped(said.get(other))),
                asked_again=one in unsaid or other in unsaid,
                too_long=one not in said or other not in said,
            )
            for one, other in zip(asked[::2], asked[1::2], strict=True)
        ]

    def _said(self, asked: Sequence[_Asked], *, insist: bool) -> dict[_Asked, float | None]:
        """How probable (A) is to each; None where it says neither."""
        thinking = self._config.chain_of_thought
        texts = [self._text(each, insist=insist) or "" for each in asked]
        if "score" not in self._model.capabilities:
            tokens = _VERDICT_TOKENS + (self._config.thought_tokens if thinking else 0)
            answers = self._written(asked, texts, tokens, STOPS[-1:], insist=insist)
            found = [read_verdict(answer, thinking=thinking) for answer in answers]
        else:
            if thinking:
                reasons = self._written(asked, texts, self._config.thought_tokens, THOUGHT_STOPS, insist=insist)
                texts = [verdict_text(text, reason) for text, reason in zip(texts, reasons, strict=True)]
            found = self._scored(texts)
        if thinking:
            found = [None if each is None else min(max(each, CLAMP[0]), CLAMP[1]) for each in found]
        return dict(zip(asked, found, strict=True))

    def _text(self, asked: _Asked, *, insist: bool) -> str | None:
        """The question in words, with the worked examples that there is room for; None where there is none at all."""
        thinking = self._config.chain_of_thought
        question = asked.question

        def text_of(exemplars: Sequence[ComparisonExemplar]) -> str:
            return comparison_text(
                exemplars, question.messages, asked.options, question.principle, thinking=thinking, insist=insist
            )

        new_tokens = _VERDICT_TOKENS + (self._config.thought_tokens + len(VERDICT) if thinking else 0)
        return with_room(self._model, text_of, self._exemplars, new_tokens)

    def _written(
        self, asked: Sequence[_Asked], texts: Sequence[str], tokens: int, stop: Sequence[str], *, insist: bool
    ) -> list[str]:
        """What the judge writes: what is most probable, and by chance only when it is asked again."""
        seeds = [seed_of(self._seed, "judge", *each.question.key, int(each.swapped)) for each in asked]
        temperature = 1.0 if insist else 0.0
        written = write(self._model, texts, seeds, max_new_tokens=tokens, temperature=temperature, stop=stop)
        return [one.strip() for one in written]

    def _scored(self, texts: Sequence[str]) -> list[float | None]:
        pairs = [(text, label) for text in texts for label in LABELS]
        scores = [score.logprob for score in self._model.score(pairs)]
        return [
            normalised(one, other, self._config.least_mass)
            for one, other in zip(scores[::2], scores[1::2], strict=True)
        ]


def normalised(first: float, second: float, least_mass: float) -> float | None:
    """How probable the first of two is, of two natural log-probabilities; None where both together have less than
    `least_mass`."""
    highest = max(first, second)
    if not highest > -math.inf:  # NaN as well
        return None
    mass = highest + math.log(math.exp(first - highest) + math.exp(second - highest))
    if least_mass and mass < math.log(least_mass):
        return None
    return math.exp(first - mass)


def read_verdict(answer: str, *, thinking: bool = False) -> float | None:
    """1.0 for (A), 0.0 for (B), and None for neither, in what a judge has written.

    Where it says both, as "(A) is worse than (B)", it has said neither. Of a judge that thinks first, what follows its
    reasons is read.
    """
    if thinking:
        _, marker, answer = answer.rpartition(VERDICT)
        if not marker:
            return None
    found = set(_MARKED.findall(answer)) or {bare.group(1).upper() for bare in [_BARE.match(answer)] if bare}
    return {"A": 1.0, "B": 0.0}[found.pop()] if len(found) == 1 else None


def _swapped(probability: float | None) -> float | None:
    """How probable the first answer is, where `probability` is that of option (A) and that was the second."""
    return None if probability is None else 1 - probability
