"""Mixtures: how often each source is read so that a corpus has the shares one wants.

Muennighoff et al. 2023, "Scaling Data-Constrained Language Models", section 6: up to 4 passes over the same data are
nearly as good as new data, and past 16 they are worth almost nothing. So no source is read more than `most_passes`
times (4 unless said otherwise), and what it cannot give is given by the others in proportion to their weights.

`plan` computes passes from sizes alone. `repeats` then says for one document, from nothing but its id and the seed, how
often it is read: workers need not talk, and a larger mixture contains every smaller one.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from trivium.config import did_you_mean
from trivium.data.balance import tempered
from trivium.errors import ConfigError, DataError

_EXACT = 1e-9


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What is wanted."""

    weights: dict[str, float] | None = None
    """Of each source, of any sum; without, the sizes are the weights."""
    exponent: float = 1.0
    """Weights are taken to this power before they become shares: 1 leaves them, 0.3 lifts the small ones, 0 makes all
    equal."""
    most_passes: float = 4.0
    """No source is read more often than this."""
    total_tokens: int | None = None
    """How much to take; without, as much as there is with the shares exactly as wanted."""
    seed: int = 0
    """Decides which documents are in a pass that is not whole."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One source of a mixture."""

    size: float
    """Tokens of one pass."""
    passes: float
    """How often it is read: 2.25 is twice the whole and once a quarter."""
    wanted: float
    """The share that was asked for."""
    share: float
    """The share that it gets."""

    @property
    def tokens(self) -> float:
        """Tokens that it gives to the mixture."""
        return self.size * self.passes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done."""

    parts: dict[str, Part]
    """By source, in the order of the sizes."""
    capped: tuple[str, ...]
    """Sources that gave less than their share, because no source is read more than `most_passes` times."""

    @property
    def tokens(self) -> float:
        """Of the whole mixture."""
        return sum(part.tokens for part in self.parts.values())

    def __str__(self) -> str:
        width = max(map(len, self.parts))
        lines = [
            f"{name:{width}}  {part.passes:8.3f} passes  {part.tokens:>15,.0f} tokens  {part.share:7.2%}"
            + (
                f"  (wanted {part.wanted:.2%}: it is read {part.passes:g} times and no more)"
                if name in self.capped
                else ""
            )
            for name, part in self.parts.items()
        ]
        return "\n".join(lines)


def plan(sizes: Mapping[str, float], mixture: Mixture) -> Plan:
    """How often each source is read.

    Without a total, the mixture ends when the first source has been read `most_passes` times: the shares are exact, and
    nothing is capped. With a total, every source gives its share of it; one that would be read too often is held at
    `most_passes`, and the rest is shared by the others in proportion to their weights, until none is above ("water
    filling").

    Args:
        sizes: tokens of one pass over each source (or bytes, or documents: the unit of the total).
        mixture: what is wanted.

    Raises:
        DataError: a source of size 0.
        ConfigError: a weight that is not above 0, a name that is no source, a source without a weight, or a total that
            the sources cannot give.
    """
    wanted = _wanted(sizes, mixture)
    most = {name: mixture.most_passes * size for name, size in sizes.items()}
    if mixture.total_tokens is None:
        total = min(most[name] / wanted[name] for name in sizes)
        tokens = {name: min(total * wanted[name], most[name]) for name in sizes}
        capped: set[str] = set()
    else:
        tokens, capped = _filled(most, wanted, mixture)
    whole = sum(tokens.values())
    parts = {
        name: Part(size=size, passes=tokens[name] / size, wanted=wanted[name], share=tokens[name] / whole)
        for name, size in sizes.items()
    }
    return Plan(parts=parts, capped=tuple(name for name in sizes if name in capped))


def repeats(document_id: str, passes: float, *, seed: int = 0) -> int:
    """How often one document is read in ``passes`` over its source: the whole passes, and one more for some.

    Each document has a fixed number in [0, 1) from its id and the seed; it is in the last pass if that number is below
    the fraction. So the documents of a fraction are among those of every larger one.
    """
    whole = math.floor(passes)
    text = f"{seed}\n{document_id}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, person=b"trivium mixture").digest()
    return whole + (int.from_bytes(digest, "little") < (passes - whole) * 2**64)


def _wanted(sizes: Mapping[str, float], mixture: Mixture) -> dict[str, float]:
    """The share of each source, after all that can be wrong was refused."""
    if not 0 < mixture.most_passes < math.inf:
        raise ConfigError("the most passes must be above 0", received=mixture.most_passes, fix="set most_passes to 4")
    empty = [name for name, size in sizes.items() if not 0 < size < math.inf]
    if empty or not sizes:
        raise DataError(
            "a source without text cannot be mixed",
            received=", ".join(empty) or "no sources",
            expected="a size above 0 for each",
            fix="leave it out of the sources, and of the weights",
        )
    weights = dict(sizes) if mixture.weights is None else mixture.weights
    for name, weight in weights.items():
        if name not in sizes:
            raise ConfigError(
                "a weight is given to a source that is not there",
                received=name,
                expected=", ".join(sizes),
                fix=did_you_mean(name, sizes),
            )
        if not 0 < weight < math.inf:
            raise ConfigError(
                "the weight of a source must be above 0",
                received=f"{name}: {weight}",
                fix="leave the source out to read nothing of it",
            )
    missing = [name for name in sizes if name not in weights]
    if missing:
        raise ConfigError(
            "a source has no weight",
            received=f"weights for {', '.join(weights)}",
            expected=f"one for {', '.join(missing)} too",
            fix="give every source a weight, or none",
        )
    return tempered({name: weights[name] for name in sizes}, mixture.exponent)


def _filled(
    most: Mapping[str, float], wanted: Mapping[str, float], mixture: Mixture
) -> tuple[dict[str, float], set[str]]:
    """Tokens of each source for a given total, and which sources are held at what they have at most."""
    total = mixture.total_tokens
    assert total is not None
    reachable = sum(most.values())
    if not 0 < total <= reachable * (1 + _EXACT):
        raise ConfigError(
            "the sources cannot give the total that is asked for",
            received=f"{total:,} tokens",
            expected=f"above 0, and at most {math.floor(reachable):,}: every source read {mixture.most_passes:g} times",
            fix="lower total_tokens, add text, or raise most_passes",
        )
    capped: set[str] = set()
    while True:
        free = [name for name in most if name not in capped]
        left = total - sum(most[name] for name in capped)
        weight = sum(wanted[name] for name in free)
        over = [name for name in free if left * wanted[name] / weight > most[name] * (1 + _EXACT)]
        if not over:
            break
        capped.update(over)
    given = {name: most[name] if name in capped else min(most[name], left * wanted[name] / weight) for name in most}
    return given, capped
