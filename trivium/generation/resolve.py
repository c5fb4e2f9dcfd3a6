"""From what a call asks for to settings: argument, else ``generation_config.json``, else greedy."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from trivium.config import did_you_mean
from trivium.errors import ConfigError
from trivium.generation import generation_config
from trivium.generation.checks import check_numbers
from trivium.generation.constraints import Constraints
from trivium.generation.generation_config import Stated
from trivium.generation.searching import Search
from trivium.generation.settings import PROCESSORS, GenerationSettings

__all__ = ["resolve"]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a call asks for, None where it says nothing; the words are those of ``GenerationSettings``."""

    max_new_tokens: int
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    beams: int | None = None
    length_penalty: float | None = None
    n: int | None = None
    seed: int | None = None
    stop: str | tuple[str, ...] | list[str] | None = None
    constraints: Constraints | None = None
    search: Search | None = None
    order: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_numbers(self)

    @property
    def cut(self) -> bool:
        """Whether a cut-off is named that only sampling has; ``top_k`` is contrastive search's as well."""
        return self.top_p is not None or self.min_p is not None or self.typical_p is not None


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How tokens are chosen: nothing of another way is taken from the file."""

    temperature: float
    beams: int
    contrastive: bool


def resolve(
    file: Mapping[str, Any],
    *,
    max_new_tokens: int,
    eos_ids: tuple[int, ...] = (),
    encoder_decoder: bool = False,
    **arguments: Any,
) -> GenerationSettings:
    """Settings of a call; ``arguments`` are fields of ``GenerationSettings``, None where nothing is asked for.

    Each argument wins over ``file``, the content of ``generation_config.json``, and ``constraints`` and ``search`` as a
    whole. A file with ``do_sample`` false means greedy, whatever temperature it holds. A call that names ``top_k``,
    ``top_p``, ``min_p`` or ``typical_p`` and no temperature asks for sampling, at temperature 1; contrastive search
    alone takes ``top_k`` without. A call that asks for one way of choosing (a temperature, beams, contrastive search)
    takes nothing of another from the file.

    Raises ``ConfigError`` where a value cannot be used, and ``Unsupported`` where the file asks for what would change
    the answers and this release has not.
    """
    _refuse_unknown(arguments)
    asked = _Asked(max_new_tokens=max_new_tokens, **arguments)
    stated = generation_config.read(file)
    way = _way(asked, stated)
    generation_config.refuse_unsupported(file, sampled=way.temperature > 0)
    constraints = asked.constraints
    if constraints is None:
        constraints = generation_config.constraints(
            file, max_new_tokens=asked.max_new_tokens, eos_ids=eos_ids, encoder_decoder=encoder_decoder
        )
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    return GenerationSettings(
        max_new_tokens=asked.max_new_tokens,
        temperature=way.temperature,
        **_cut_offs(asked, stated, way),
        repetition_penalty=_first(asked.repetition_penalty, stated.repetition_penalty, 1.0),
        frequency_penalty=_first(asked.frequency_penalty, stated.frequency_penalty, 0.0),
        presence_penalty=_first(asked.presence_penalty, stated.presence_penalty, 0.0),
        beams=way.beams,
        length_penalty=_first(asked.length_penalty, stated.length_penalty, 1.0),
        n=_first(asked.n, 1),
        seed=asked.seed,
        stop=stop or stated.stop,
        eos_ids=eos_ids,
        constraints=constraints,
        search=_search(stated, way) if asked.search is None else asked.search,
        order=PROCESSORS if asked.order is None else asked.order,
    )


def _way(asked: _Asked, stated: Stated) -> _Way:
    temperature, beams = asked.temperature, asked.beams
    sampling = asked.cut if temperature is None else temperature > 0
    if asked.search is not None:
        contrastive = asked.search.contrastive_alpha > 0
    else:
        contrastive = stated.contrastive_alpha > 0 and not sampling and beams in (None, 1)
    if temperature is None:
        sampling = sampling or (asked.top_k is not None and not contrastive)
        by_file = stated.sampled and not contrastive and beams in (None, 1)
        stated_temperature = stated.temperature if by_file else None
        temperature = (1.0 if sampling or by_file else 0.0) if stated_temperature is None else stated_temperature
    if beams is None:
        beams = 1 if sampling or contrastive else _first(stated.beams, 1)
    return _Way(temperature=temperature, beams=beams, contrastive=contrastive)


def _cut_offs(asked: _Asked, stated: Stated, way: _Way) -> dict[str, Any]:
    """The file's cut-offs count where it samples and the call does not choose otherwise."""
    by_file = stated.sampled and way.temperature > 0
    names = ["top_p", "min_p", "typical_p"] if by_file else []
    if by_file or (way.contrastive and not stated.sampled):
        names.append("top_k")
    return {
        name: _first(getattr(asked, name), getattr(stated, name) if name in names else None)
        for name in ("top_k", "top_p", "min_p", "typical_p")
    }


def _search(stated: Stated, way: _Way) -> Search:
    """The search of a file: what it says of other ways of searching than the one in use is left out."""
    if way.contrastive:
        return Search(contrastive_alpha=stated.contrastive_alpha)
    if way.beams == 1:
        return Search()
    groups = _first(stated.groups, 1)
    return Search(
        groups=groups,
        diversity_penalty=_first(stated.diversity_penalty, 0.0) if groups > 1 else 0.0,
        early_stopping=stated.early_stopping,
        renormalise=stated.renormalise,
    )


def _first(*values: Any) -> Any:
    """The first that is given; None where none is."""
    return next((value for value in values if value is not None), None)


def _refuse_unknown(arguments: Mapping[str, object]) -> None:
    valid = [field.name for field in fields(_Asked)]
    for name in sorted(arguments):
        if name not in valid:
            raise ConfigError(
                f"there is no generation setting {name!r}",
                received=f"{name}={arguments[name]!r}",
                expected=", ".join(valid),
                fix=did_you_mean(name, valid) or f"leave {name} out",
            )
