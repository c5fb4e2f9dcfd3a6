"""How a text is to be generated, with everything decided: argument, else ``generation_config.json``, else greedy."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from trivium.config import did_you_mean
from trivium.errors import ConfigError, Unsupported


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
    """Sample among the fewest tokens that hold this much probability together; None for all."""
    n: int = 1
    """Answers to each prompt."""
    seed: int | None = None
    """Of each request: the same prompt gets the same answer, alone or in a batch. None draws a new one."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are not part of it."""
    eos_ids: tuple[int, ...] = ()
    """Tokens that end the answer."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(
                "nothing is to be generated", received=f"max_new_tokens={self.max_new_tokens}", expected="at least 1"
            )
        if not 0 <= self.temperature < float("inf"):  # NaN fails every comparison
            raise ConfigError(
                "the temperature cannot be used",
                received=f"temperature={self.temperature}",
                expected="0 (greedy) or a positive number",
            )
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(
                "top_k leaves no token to choose from",
                received=f"top_k={self.top_k}",
                expected="a whole number of at least 1",
                fix="leave top_k out to choose among all tokens",
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(
                "top_p is a share of the probability",
                received=f"top_p={self.top_p}",
                expected="above 0 and at most 1",
                fix="leave top_p out to choose among all tokens",
            )
        if self.n < 1:
            raise ConfigError("no answer is asked for", received=f"n={self.n}", expected="at least 1")
        if self.seed is not None and self.seed < 0:
            raise ConfigError("the seed is negative", received=f"seed={self.seed}", expected="0 or more")
        if "" in self.stop:
            raise ConfigError(
                "an empty stop text would end every answer at once",
                received=f"stop={self.stop!r}",
                fix="leave the empty text out",
            )

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken each time.

        Below 1e-6 a difference of 1e-4 between two logits is a factor of e^-100: nothing is left to chance,
        and fp32 could not divide by much less.
        """
        return self.temperature < 1e-6


# What other systems write into generation_config.json to mean "do nothing"; anything else would change the answers.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "min_p": (None, 0, 0.0),
    "typical_p": (None, 1, 1.0),
    "repetition_penalty": (None, 1, 1.0),
    "frequency_penalty": (None, 0, 0.0),
    "presence_penalty": (None, 0, 0.0),
    "no_repeat_ngram_size": (None, 0),
    "beams": (None, 1),
    "length_penalty": (None, 1, 1.0),
}


def resolve(
    file: Mapping[str, Any],
    *,
    max_new_tokens: int,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    n: int = 1,
    seed: int | None = None,
    stop: str | tuple[str, ...] | list[str] = (),
    eos_ids: tuple[int, ...] = (),
    **others: float | None,
) -> GenerationSettings:
    """Settings of a call whose arguments are None where not given; ``file`` is ``generation_config.json``.

    A file with ``do_sample`` false means greedy, whatever temperature it holds. A call that names
    ``top_k`` or ``top_p`` and no temperature asks for sampling: temperature 1. ``others`` are the
    settings this release has not: ``Unsupported`` unless they are neutral.
    """
    _refuse_unknown(others)
    _refuse_unsupported(file, others)
    sampled = bool(file.get("do_sample", False))
    if temperature is not None:
        effective = temperature
    elif sampled:
        effective = _stated(file, "temperature", 1.0, float)
    else:
        effective = 0.0 if top_k is None and top_p is None else 1.0
    if effective and sampled:
        # 0 is how some files say "all": a top_k of 0 is refused as an argument only.
        top_k = _stated(file, "top_k", None, int) or None if top_k is None else top_k
        top_p = _stated(file, "top_p", None, float) if top_p is None else top_p
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    return GenerationSettings(
        max_new_tokens=max_new_tokens,
        temperature=effective,
        top_k=top_k,
        top_p=top_p,
        n=n,
        seed=seed,
        stop=stops,
        eos_ids=eos_ids,
    )


def _stated(file: Mapping[str, Any], name: str, default: Any, kind: type[int] | type[float]) -> Any:
    """What the file says, a number of this ``kind``: nothing has looked at its values before."""
    value = file.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise ConfigError(
            f"generation_config.json holds a {name} that cannot be used",
            received=repr(value),
            expected="a whole number" if kind is int else "a number",
            fix=f"correct the file, or pass {name} yourself with a temperature",
        )
    return value


def _refuse_unsupported(file: Mapping[str, Any], others: Mapping[str, float | None]) -> None:
    for name, neutral in _NEUTRAL.items():
        given = others.get(name)
        value = file.get(name) if given is None and name not in ("beams", "length_penalty") else given
        if value not in neutral:
            where = "the call" if given is not None else "generation_config.json"
            raise Unsupported(
                f"{name} is not supported by this release",
                received=f"{name}={value} in {where}",
                expected="temperature, top_k and top_p",
                fix=f"pass {name}={neutral[-1]} to generate without it",
            )


def _refuse_unknown(others: Mapping[str, object]) -> None:
    valid = [field.name for field in fields(GenerationSettings)]
    for name in sorted(set(others) - set(_NEUTRAL)):
        raise ConfigError(
            f"there is no generation setting {name!r}",
            received=f"{name}={others[name]!r}",
            expected=", ".join(valid),
            fix=did_you_mean(name, [*valid, *_NEUTRAL]),
        )


def token_ids(value: int | list[int] | None) -> tuple[int, ...]:
    """``eos_token_id`` as files write it (nothing, one id or several) as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)
