"""How a text is to be generated, with everything decided: argument, else ``generation_config.json``, else greedy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from trivium.config import did_you_mean
from trivium.errors import ConfigError
from trivium.generation import generation_config
from trivium.generation.checks import require
from trivium.generation.constraints import NO_CONSTRAINTS, Constraints
from trivium.generation.generation_config import Stated, token_ids
from trivium.generation.searching import NO_SEARCH, Search

__all__ = ["PROCESSORS", "Constraints", "GenerationSettings", "Search", "resolve", "token_ids"]

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


def resolve(
    file: Mapping[str, Any],
    *,
    max_new_tokens: int,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    typical_p: float | None = None,
    repetition_penalty: float | None = None,
    frequency_penalty: float | None = None,
    presence_penalty: float | None = None,
    beams: int | None = None,
    length_penalty: float | None = None,
    n: int = 1,
    seed: int | None = None,
    stop: str | tuple[str, ...] | list[str] = (),
    eos_ids: tuple[int, ...] = (),
    constraints: Constraints | None = None,
    search: Search | None = None,
    order: tuple[str, ...] | None = None,
    encoder_decoder: bool = False,
    **unknown: object,
) -> GenerationSettings:
    """Settings of a call whose arguments are None where not given; ``file`` is ``generation_config.json``.

    Each argument wins over the file, and ``constraints`` and ``search`` as a whole. A file with ``do_sample`` false
    means greedy, whatever temperature it holds. A call that names ``top_k``, ``top_p``, ``min_p`` or ``typical_p``
    and no temperature asks for sampling, at temperature 1; contrastive search alone takes ``top_k`` without. A call
    that asks for one way of choosing (a temperature, beams, contrastive search) takes nothing of another from the file.

    Raises ``ConfigError`` where a value cannot be used, and ``Unsupported`` where the file asks for what would change
    the answers and this release has not.
    """
    _refuse_unknown(unknown)
    stated = generation_config.read(file)
    cut = top_p is not None or min_p is not None or typical_p is not None
    temperature, beams, contrastive = _way(
        stated, temperature=temperature, beams=beams, search=search, top_k=top_k is not None, cut=cut
    )
    if stated.sampled and temperature:
        top_p, min_p = _first(top_p, stated.top_p), _first(min_p, stated.min_p)
        typical_p = _first(typical_p, stated.typical_p)
    if (stated.sampled and temperature) or (contrastive and not stated.sampled):
        top_k = _first(top_k, stated.top_k)
    generation_config.refuse_unsupported(file, sampled=temperature > 0, beams=beams)
    if constraints is None:
        constraints = generation_config.constraints(
            file, max_new_tokens=max_new_tokens, eos_ids=eos_ids, encoder_decoder=encoder_decoder
        )
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    return GenerationSettings(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        typical_p=typical_p,
        repetition_penalty=_first(repetition_penalty, stated.repetition_penalty, 1.0),
        frequency_penalty=_first(frequency_penalty, stated.frequency_penalty, 0.0),
        presence_penalty=_first(presence_penalty, stated.presence_penalty, 0.0),
        beams=beams,
        length_penalty=_first(length_penalty, stated.length_penalty, 1.0),
        n=n,
        seed=seed,
        stop=stops or stated.stop,
        eos_ids=eos_ids,
        constraints=constraints,
        search=_search(stated, beams=beams, contrastive=contrastive) if search is None else search,
        order=PROCESSORS if order is None else order,
    )


def _way(
    stated: Stated, *, temperature: float | None, beams: int | None, search: Search | None, top_k: bool, cut: bool
) -> tuple[float, int, bool]:
    """The temperature, the beams, and whether the search is contrastive; ``top_k`` and ``cut`` are whether a call names
    it, and any other cut-off."""
    sampling = cut if temperature is None else temperature > 0
    if search is not None:
        contrastive = search.contrastive_alpha > 0
    else:
        contrastive = stated.contrastive_alpha > 0 and not sampling and beams in (None, 1)
    if temperature is None:
        sampling = sampling or (top_k and not contrastive)
        by_file = stated.sampled and not contrastive and beams in (None, 1)
        stated_temperature = stated.temperature if by_file else None
        temperature = (1.0 if sampling or by_file else 0.0) if stated_temperature is None else stated_temperature
    by_default = 1 if sampling or contrastive else _first(stated.beams, 1)
    return temperature, by_default if beams is None else beams, contrastive


def _search(stated: Stated, *, beams: int, contrastive: bool) -> Search:
    """The search of a file: what it says of other ways of searching than the one in use is left out."""
    if contrastive:
        return Search(contrastive_alpha=stated.contrastive_alpha)
    if beams == 1:
        return Search()
    groups = _first(stated.groups, 1)
    return Search(
        groups=groups,
        diversity_penalty=_first(stated.diversity_penalty, 0.0) if groups > 1 else 0.0,
        early_stopping=stated.early_stopping,
    )


def _first(*values: Any) -> Any:
    """The first that is given; None where none is."""
    return next((value for value in values if value is not None), None)


def _refuse_unknown(unknown: Mapping[str, object]) -> None:
    valid = [field.name for field in fields(GenerationSettings)]
    for name in sorted(unknown):
        raise ConfigError(
            f"there is no generation setting {name!r}",
            received=f"{name}={unknown[name]!r}",
            expected=", ".join(valid),
            fix=did_you_mean(name, valid) or f"leave {name} out",
        )
