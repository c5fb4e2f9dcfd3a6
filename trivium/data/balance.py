"""How much of a corpus is in which language, from which source, under which label, and how to weigh it otherwise.

`count` tells, `shares` and `table` show, and three functions turn sizes into factors of repetition: by inverse
frequency, by temperature, to a wanted distribution. A factor of 2 means that every document of the group is seen twice
in one pass over the corpus, 0.5 that half of them are seen; `trivium.data.mixtures.repeats` decides which.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from trivium.config import did_you_mean
from trivium.data.documents import Document
from trivium.errors import ConfigError, DataError

UNKNOWN = "unknown"
_FIELDS: dict[str, str] = {"language": "language", "source": "origin", "label": "label", "group": "group"}


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


def value_of(document: Document, by: str) -> str:
    """What ``document`` counts under; "unknown" where nobody said.

    Raises:
        ConfigError: ``by`` is no key.
    """
    if by not in _FIELDS:
        raise ConfigError(
            "documents are not counted by this", received=by, expected=", ".join(_FIELDS), fix=did_you_mean(by, _FIELDS)
        )
    return getattr(document, _FIELDS[by], None) or UNKNOWN


def count(documents: Iterable[Document], by: str, *, tokens: Iterable[int] | None = None) -> dict[str, Size]:
    """The size of each value of ``by``, the largest in bytes first, equal ones by name.

    Args:
        documents: read once, so a stream will do.
        by: "language", "source", "label" or "group".
        tokens: the number of tokens of each document, in the same order.
    """
    totals: dict[str, Size] = {}
    numbers = iter(tokens) if tokens is not None else None
    for document in documents:
        name = value_of(document, by)
        size = Size(documents=1, bytes=document.num_bytes, tokens=next(numbers) if numbers else 0)
        totals[name] = totals.get(name, Size()) + size
    return dict(sorted(totals.items(), key=lambda item: (-item[1].bytes, item[0])))


def shares(sizes: Mapping[str, float]) -> dict[str, float]:
    """Each part of the whole; they sum to one.

    Raises:
        DataError: there is nothing, or less than nothing.
    """
    whole = sum(sizes.values())
    if not whole > 0 or min(sizes.values()) < 0:
        raise DataError("shares need something to be shares of", received=dict(sizes), expected="sizes above 0")
    return {name: size / whole for name, size in sizes.items()}


def table(sizes: Mapping[str, Size]) -> str:
    """Lines of text: name, documents, bytes, tokens, and the share of bytes."""
    parts = shares({name: size.bytes for name, size in sizes.items()})
    width = max(len(name) for name in [*sizes, "total"])
    rows = [(name, size, parts[name]) for name, size in sizes.items()]
    rows.append(("total", sum(sizes.values(), Size()), 1.0))
    lines = [f"{'':{width}}  {'documents':>12}  {'bytes':>15}  {'tokens':>15}  {'share':>7}"]
    lines += [
        f"{name:{width}}  {size.documents:>12,}  {size.bytes:>15,}  {size.tokens:>15,}  {part:>7.2%}"
        for name, size, part in rows
    ]
    return "\n".join(lines)


def tempered(sizes: Mapping[str, float], exponent: float) -> dict[str, float]:
    """Shares proportional to ``size ** exponent``: 1 leaves them, 0 makes them equal, between lifts what is rare.

    Conneau et al. 2020, "Unsupervised Cross-lingual Representation Learning at Scale", section 3.1: q_i proportional to
    p_i^a with a = 0.3 for XLM-R; Xue et al. 2021, "mT5", section 3.2, found 0.3 best as well. A "temperature" T as in
    Arivazhagan et al. 2019 is a = 1 / T.

    Raises:
        ConfigError: the exponent is negative, not a number, or so large that a share becomes 0.
    """
    if not 0 <= exponent < float("inf"):
        raise ConfigError("the exponent of a temperature must be 0 or more", received=exponent, fix="set 0.3, or 1")
    _refuse_nothing(sizes)
    # Of the shares, not of the sizes: powers of large numbers overflow.
    powers = {name: part**exponent for name, part in shares(sizes).items()}
    if min(powers.values()) == 0:
        raise ConfigError(
            "the exponent leaves nothing to the smallest", received=exponent, fix="set it between 0 and 1"
        )
    return shares(powers)


def factors(sizes: Mapping[str, float], target: Mapping[str, float], *, most: float | None = None) -> dict[str, float]:
    """How often each group is repeated so that its share becomes ``target``; the whole keeps its size.

    Args:
        sizes: of each group, in bytes or tokens or documents.
        target: a weight for each group, of any sum.
        most: the greatest factor. What a group loses by it is lost: the whole becomes smaller. To give it to the
            others, and for more than one pass, use `trivium.data.mixtures.plan`.

    Raises:
        ConfigError: a group without a weight, a weight without a group, or a greatest factor that is not above 0.
    """
    _refuse_nothing(sizes)
    for name in [*target, *sizes]:
        if name not in sizes or name not in target:
            others = sizes if name not in sizes else target
            raise ConfigError(
                "the target and the sizes must name the same groups",
                received=f"{name}, which only the {'target' if name not in sizes else 'sizes'} has",
                expected=", ".join(others),
                fix=did_you_mean(name, others),
            )
    if most is not None and not most > 0:
        raise ConfigError("the greatest factor must be above 0", received=most, fix="set 4, or leave it out")
    now, wanted = shares(sizes), shares(target)
    return {name: min(wanted[name] / now[name], most or float("inf")) for name in sizes}


def inverse_frequency(sizes: Mapping[str, float], *, most: float | None = None) -> dict[str, float]:
    """`factors` that give every group the same share."""
    return factors(sizes, dict.fromkeys(sizes, 1.0), most=most)


def by_temperature(sizes: Mapping[str, float], exponent: float, *, most: float | None = None) -> dict[str, float]:
    """`factors` that give the shares of `tempered`."""
    return factors(sizes, tempered(sizes, exponent), most=most)


def _refuse_nothing(sizes: Mapping[str, float]) -> None:
    empty = [name for name, size in sizes.items() if not 0 < size < float("inf")]
    if empty or not sizes:
        raise DataError(
            "a group of nothing cannot be given a share",
            received=", ".join(f"{name}: {sizes[name]}" for name in empty) or "no groups",
            expected="a size above 0 for each",
            fix="leave out the empty groups",
        )
