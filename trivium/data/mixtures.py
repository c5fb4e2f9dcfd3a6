"""Mixtures: how often each source, language, label or group is read so that a corpus has the shares one wants.

Muennighoff et al. 2023, "Scaling Data-Constrained Language Models", section 6: up to 4 passes over the same data are
nearly as good as new data, and past 16 they are worth almost nothing. So nothing is read more than `most_passes`
times (4 unless said otherwise), and what it cannot give is given by the others in proportion to their weights.

`plan` computes passes from sizes alone. `repeats` then says for one document, from nothing but its id and the seed, how
often it is read: workers need not talk, and a larger mixture contains every smaller one.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivium.config import did_you_mean
from trivium.data.balance import By, tempered
from trivium.errors import ConfigError, DataError

_EXACT = 1e-9
_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What is wanted."""

    by: By = "source"
    """What has a weight: sources, languages, labels or groups. What states none is "unknown", which is one too."""
    weights: dict[str, float] | None = None
    """Of each source (or language, label, group), of any sum; without, the sizes are the weights."""
    exponent: float = 1.0
    """Weights are taken to this power before they become shares: 1 leaves them, 0.3 lifts the small ones, 0 makes all
    equal."""
    most_passes: float = 4.0
    """Nothing is read more often than this."""
    total_tokens: int | None = None
    """How much to take."""
    total_passes: float | None = None
    """The same, as passes over all there is. Without either it is 1, which keeps the size of the corpus."""
    seed: int = 0
    """Decides which documents are in a pass that is not whole."""

    def __post_init__(self) -> None:
        if self.total_tokens is not None and self.total_passes is not None:
            raise ConfigError(
                "the size of a mixture is said twice",
                received=f"total_tokens {self.total_tokens:,}, total_passes {self.total_passes:g}",
                fix="leave one of them out",
            )

    @property
    def passes_over_all(self) -> float | None:
        """`total_passes`, or what it is where nothing is said; None where `total_tokens` is."""
        if self.total_tokens is not None or self.total_passes is not None:
            return self.total_passes
        return min(1.0, self.most_passes)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One source of a mixture; or one language, label or group."""

    size: float
    """Tokens of one pass."""
    passes: float
    """How often it is read: 2.25 is twice the whole and once a quarter."""
    wanted: float
    """The share that was asked for."""
    share: float
    """The share that it gets."""
    capped: bool = False
    """It gave less than was wanted, because nothing is read more than `most_passes` times."""

    @property
    def tokens(self) -> float:
        """Tokens that it gives to the mixture."""
        return self.size * self.passes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done."""

    parts: dict[str, Part]
    """By source, in the order of the sizes."""

    @property
    def tokens(self) -> float:
        """Of the whole mixture."""
        return sum(part.tokens for part in self.parts.values())

    @property
    def capped(self) -> tuple[str, ...]:
        """Those that gave less than their share."""
        return tuple(name for name, part in self.parts.items() if part.capped)


def plan(sizes: Mapping[str, float], mixture: Mixture) -> Plan:
    """How often each source, or whatever the mixture weighs by, is read.

    Every source gives its share of the total, which is the size of them all unless it is said. One that would be read
    too often is held at `most_passes`, and the rest is shared by the others in proportion to their weights, until none
    is above ("water filling").

    Args:
        sizes: tokens of one pass over each (or bytes, or documents: the unit of the total).
        mixture: what is wanted.

    Raises:
        DataError: a source of size 0.
        ConfigError: a weight that is not above 0, a name that is no source, a source without a weight, or a total that
            they cannot give.
    """
    wanted = _wanted(sizes, mixture)
    most = {name: mixture.most_passes * size for name, size in sizes.items()}
    passes = mixture.passes_over_all
    total = mixture.total_tokens if passes is None else passes * sum(sizes.values())
    assert total is not None, "one of the two is said, or the passes are 1"
    tokens, capped = _filled(most, wanted, total, mixture.most_passes)
    whole = sum(tokens.values())
    parts = {
        name: Part(
            size=size,
            passes=tokens[name] / size,
            wanted=wanted[name],
            share=tokens[name] / whole,
            capped=name in capped,
        )
        for name, size in sizes.items()
    }
    return Plan(parts=parts)


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
            f"a {mixture.by} without text cannot be mixed",
            received=", ".join(empty) or f"no {mixture.by}s",
            expected="a size above 0 for each",
            fix="leave it out of the weights",
        )
    weights = dict(sizes) if mixture.weights is None else mixture.weights
    for name, weight in weights.items():
        if name not in sizes:
            raise ConfigError(
                f"a weight is given to a {mixture.by} that is not there",
                received=name,
                expected=_listed(list(sizes)),
                fix=did_you_mean(name, sizes),
            )
        if not 0 < weight < math.inf:
            raise ConfigError(
                f"the weight of a {mixture.by} must be above 0",
                received=f"{name}: {weight}",
                fix=f"leave the {mixture.by} out to read nothing of it" if mixture.by == "source" else "set it near 0",
            )
    missing = [name for name in sizes if name not in weights]
    if missing:
        raise ConfigError(
            f"a {mixture.by} has no weight",
            received=f"weights for {', '.join(weights)}",
            expected=f"one for {_listed(missing)} too",
            fix=f"give every {mixture.by} a weight, or none",
        )
    return tempered({name: weights[name] for name in sizes}, mixture.exponent)


def _filled(
    most: Mapping[str, float], wanted: Mapping[str, float], total: float, most_passes: float
) -> tuple[dict[str, float], set[str]]:
    """Tokens of each for a given total, and which are held at what they have at most."""
    reachable = sum(most.values())
    if not 0 < total <= reachable * (1 + _EXACT):
        raise ConfigError(
            "there is not enough text for the total that is asked for",
            received=f"{total:,} tokens",
            expected=f"above 0, and at most {math.floor(reachable):,}: everything read {most_passes:g} times",
            fix="lower the total, add text, or raise most_passes",
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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
