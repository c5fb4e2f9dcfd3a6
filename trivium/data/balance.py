"""How much of a corpus is in which language, from which source, under which label, in which group.

`Balance` counts and shows; `tempered` turns sizes into shares that lift what is rare. How often each of them is then
read is for `trivium.data.mixtures` to say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from trivium.config import did_you_mean
from trivium.data.licences import UNKNOWN
from trivium.errors import ConfigError, DataError

By = Literal["language", "source", "label", "group"]
"""What documents are counted and weighed by."""

NAMED = 50
"""So many names of each are told one by one: a corpus of web pages has as many groups as pages."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is of something."""

    documents: int = 0
    """Their number."""
    bytes: int = 0
    """Of their text in UTF-8."""
    tokens: int = 0
    """Of their text; 0 where nothing was encoded yet."""

    def __add__(self, other: "Size") -> "Size":
        return Size(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(Size)})


class Balance:
    """The sizes of all languages, sources, labels and groups, counted one document after the other."""

    def __init__(self) -> None:
        self._sizes: dict[str, dict[str, list[int]]] = {by: {} for by in get_args(By)}

    def add(self, values: Mapping[str, Any], size: Size) -> None:
        """Counts what is of one language, source, label and group; "unknown" where ``values`` does not say."""
        for by, counted in self._sizes.items():
            sums = counted.setdefault(values.get(by) or UNKNOWN, [0, 0, 0])
            sums[0] += size.documents
            sums[1] += size.bytes
            sums[2] += size.tokens

    def sizes(self, by: str) -> dict[str, Size]:
        """The size of each value of ``by``, the largest in bytes first, equal ones by name.

        Raises:
            ConfigError: ``by`` is no key.
        """
        if by not in self._sizes:
            raise ConfigError(
                "documents are not counted by this",
                received=by,
                expected=", ".join(self._sizes),
                fix=did_you_mean(by, self._sizes),
            )
        counted = sorted(self._sizes[by].items(), key=lambda item: (-item[1][1], item[0]))
        return {name: Size(documents=sums[0], bytes=sums[1], tokens=sums[2]) for name, sums in counted}

    def to_json(self) -> dict[str, Any]:
        """By what: {"names": how many there are, "largest": {name: size}, "others": the size of the rest}."""
        return {by: _largest(self.sizes(by)) for by in self._sizes}


def table(told: Mapping[str, Any], *, most: int = 10) -> list[tuple[str, Size, float]]:
    """(name, size, share of the bytes) of what `Balance.to_json` tells of one key: the largest, the others, and all."""
    sizes = {name: Size(**size) for name, size in told["largest"].items()}
    rows = list(sizes.items())[:most]
    rest = told["names"] - len(rows)
    if rest:
        rows.append((f"{rest:,} others", _sum([*list(sizes.values())[most:], Size(**told["others"])])))
    total = _sum(size for _, size in rows)
    return [(name, size, size.bytes / max(total.bytes, 1)) for name, size in [*rows, ("all", total)]]


def shares(sizes: Mapping[str, float]) -> dict[str, float]:
    """Each part of the whole; they sum to one.

    Raises:
        DataError: there is nothing, or less than nothing.
    """
    whole = sum(sizes.values())
    if not whole > 0 or min(sizes.values()) < 0:
        raise DataError("shares need something to be shares of", received=dict(sizes), expected="sizes above 0")
    return {name: size / whole for name, size in sizes.items()}


def tempered(sizes: Mapping[str, float], exponent: float) -> dict[str, float]:
    """Shares proportional to ``size ** exponent``: 1 leaves them, 0 makes them equal, between lifts what is rare.

    Conneau et al. 2020, "Unsupervised Cross-lingual Representation Learning at Scale", section 3.1: q_i proportional to
    p_i^a with a = 0.3 for XLM-R; Xue et al. 2021, "mT5", section 3.2, found 0.3 best as well. A "temperature" T as in
    Arivazhagan et al. 2019 is a = 1 / T.

    Raises:
        ConfigError: the exponent is negative, not a number, or so large that a share becomes 0.
        DataError: a size is not above 0.
    """
    if not 0 <= exponent < float("inf"):
        raise ConfigError("the exponent of a temperature must be 0 or more", received=exponent, fix="set 0.3, or 1")
    empty = [name for name, size in sizes.items() if not 0 < size < float("inf")]
    if empty or not sizes:
        raise DataError(
            "what has no size cannot be given a share",
            received=", ".join(f"{name}: {sizes[name]}" for name in empty) or "no sizes",
            expected="a size above 0 for each",
            fix="leave out the empty ones",
        )
    # Of the shares, not of the sizes: powers of large numbers overflow.
    powers = {name: part**exponent for name, part in shares(sizes).items()}
    if min(powers.values()) == 0:
        raise ConfigError(
            "the exponent leaves nothing to the smallest", received=exponent, fix="set it between 0 and 1"
        )
    return shares(powers)


def _largest(sizes: Mapping[str, Size]) -> dict[str, Any]:
    named = dict(list(sizes.items())[:NAMED])
    others = _sum(list(sizes.values())[NAMED:])
    return {
        "names": len(sizes),
        "largest": {name: asdict(size) for name, size in named.items()},
        "others": asdict(others),
    }


def _sum(sizes: Iterable[Size]) -> Size:
    return sum(sizes, Size())
