"""How a text is to be generated, with everything decided; ``resolve`` decides."""

import math
from dataclasses import dataclass

from trivium.config import did_you_mean
from trivium.errors import ConfigError
from trivium.generation.checks import check_numbers, require
from trivium.generation.constraints import NO_CONSTRAINTS, Constraints
from trivium.generation.searching import NO_SEARCH, Search

__all__ = ["PROCESSORS", "Constraints", "GenerationSettings", "Search"]

PROCESSORS = (
    "constraints",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
)
"""What is done to the logits, in the order in which it is done unless a call says otherwise: as in `transformers`."""


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """Effective settings of one call; refused with ``ConfigError`` where a value makes no sense."""

    max_new_tokens: int
    """Longest answer, in tokens, the end token included."""
    temperature: float = 0.0
    """Divides the logits before sampling; 0 takes the most probable token (greedy)."""
    top_k: int | None = None
    """Sample among the k most probable tokens; None for all."""
    top_p: float | None = None
    """Sample among the fewest tokens that hold this much probability together; None for all, 0 for the best alone."""
    min_p: float | None = None
    """Sample among tokens at least this share as probable as the most probable one; None for all."""
    typical_p: float | None = None
    """Sample among the tokens nearest to the expected surprise that hold this much probability; None for all."""
    repetition_penalty: float = 1.0
    """Makes every token of the prompt and the answer less probable; 1 does nothing (Keskar et al. 2019)."""
    frequency_penalty: float = 0.0
    """Taken off a token's logit for each time it stands in the answer."""
    presence_penalty: float = 0.0
    """Taken off a token's logit where it stands in the answer at all."""
    beams: int = 1
    """Answers grown side by side in a beam search; 1 for none."""
    length_penalty: float = 1.0
    """A beam's score is its log-probability over its length to this power."""
    n: int = 1
    """Answers to each prompt."""
    seed: int | None = None
    """Of each request: the same prompt gets the same answer, alone or in a batch. None draws a new one."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are not part of it."""
    eos_ids: tuple[int, ...] = ()
    """Tokens that end the answer."""
    constraints: Constraints = NO_CONSTRAINTS
    """What the answer may and must hold."""
    search: Search = NO_SEARCH
    """How answers are compared, where more than one is grown."""
    order: tuple[str, ...] = PROCESSORS
    """The processors in the order in which they are applied."""

    def __post_init__(self) -> None:
        check_numbers(self)
        self._check_length()
        self._check_cut_offs()
        self._check_penalties()
        self._check_search()
        _check_order(self.order)
        require(
            self.seed is None or self.seed >= 0,
            "the seed is negative",
            received=f"seed={self.seed}",
            expected="0 or more",
            fix="leave the sign out",
        )
        require(
            "" not in self.stop,
            "an empty stop text would end every answer at once",
            received=f"stop={self.stop!r}",
            expected="texts of at least one character",
            fix="leave the empty text out",
        )

    def _check_length(self) -> None:
        require(
            self.max_new_tokens >= 1,
            "nothing is to be generated",
            received=f"max_new_tokens={self.max_new_tokens}",
            expected="at least 1",
            fix="set max_new_tokens to the longest answer you want, in tokens",
        )
        for name, least in (
            ("min_new_tokens", self.constraints.min_new_tokens),
            ("forced", len(self.constraints.forced)),
        ):
            require(
                least <= self.max_new_tokens,
                f"the answer is too short for its constraint {name}",
                received=f"max_new_tokens={self.max_new_tokens}, and {least} tokens by {name}",
                expected=f"{name} of at most max_new_tokens",
                fix=f"raise max_new_tokens to {least}",
            )

    def _check_cut_offs(self) -> None:
        require(
            0 <= self.temperature < math.inf,  # NaN fails every comparison
            "the temperature cannot be used",
            received=f"temperature={self.temperature}",
            expected="0 (greedy) or a positive number",
            fix="set temperature=0, or a number around 1",
        )
        require(
            self.top_k is None or self.top_k >= 1,
            "top_k leaves no token to choose from",
            received=f"top_k={self.top_k}",
            expected="a whole number of at least 1",
            fix="leave top_k out to choose among all tokens",
        )
        for name in ("top_p", "min_p", "typical_p"):
            value = getattr(self, name)
            require(
                value is None or 0 <= value <= 1,
                f"{name} is a share of the probability",
                received=f"{name}={value}",
                expected="0 to 1",
                fix=f"leave {name} out to choose among all tokens",
            )

    def _check_penalties(self) -> None:
        require(
            0 < self.repetition_penalty < math.inf,
            "the repetition penalty divides by its value",
            received=f"repetition_penalty={self.repetition_penalty}",
            expected="a number above 0; 1 does nothing",
            fix="set a repetition_penalty around 1.2, or leave it out",
        )
        for name, neutral in (("frequency_penalty", 0.0), ("presence_penalty", 0.0), ("length_penalty", 1.0)):
            require(
                math.isfinite(getattr(self, name)),
                f"{name} is not a number",
                received=f"{name}={getattr(self, name)}",
                expected=f"a finite number; {neutral:g} does nothing",
                fix=f"leave {name} out",
            )

    def _check_search(self) -> None:
        for name, what in (("n", "no answer is asked for"), ("beams", "a search needs a beam")):
            value = getattr(self, name)
            require(value >= 1, what, received=f"{name}={value}", expected="at least 1", fix=f"leave {name} out")
        self.search.check(
            beams=self.beams, n=self.n, top_k=self.top_k, temperature=0.0 if self.greedy else self.temperature
        )

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken each time.

        Below 1e-6 a difference of 1e-4 between two logits is a factor of e^-100: nothing is left to chance,
        and fp32 could not divide by much less.
        """
        return self.temperature < 1e-6


def _check_order(order: tuple[str, ...]) -> None:
    unknown = [name for name in order if name not in PROCESSORS]
    if unknown:
        raise ConfigError(
            f"there is no processor {unknown[0]!r}",
            received=f"order={', '.join(order)}",
            expected=", ".join(PROCESSORS),
            fix=did_you_mean(unknown[0], PROCESSORS) or f"leave {unknown[0]} out",
        )
    if sorted(order) != sorted(PROCESSORS):
        twice = [name for name in PROCESSORS if order.count(name) > 1]
        missing = [name for name in PROCESSORS if name not in order]
        raise ConfigError(
            "the order names every processor once",
            received=f"order={', '.join(order)}",
            expected=", ".join(PROCESSORS),
            fix=f"name {twice[0]} once" if twice else f"put {missing[0]} in its place; what is not set does nothing",
        )
