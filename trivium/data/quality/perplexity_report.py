"""How well perplexity tells good text from bad, and whose text a limit removes: measured on text held out.

    report = measured(model, held_out, unwanted, limit=9.3)
    print(report.table())

Where no unwanted text is at hand, `shuffled` makes some of good text: its words in another order.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivium.data.quality.by_group import Removals, known, removals
from trivium.data.quality.ngrams import NgramModel
from trivium.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a limit of perplexity does to good and to unwanted text."""

    limit: float
    """What is more surprising is removed."""
    good: tuple[float, float, float]
    """Perplexity of good text: 5 % are below the first, half below the second, 95 % below the third."""
    unwanted: tuple[float, float, float]
    """The same of unwanted text."""
    area: float
    """How often an unwanted text is more surprising than a good one: the area under the ROC curve; 0.5 is chance."""
    removals: Removals
    """What the limit removes."""

    def table(self) -> str:
        """All of it for people to read, with the warning that belongs to it."""
        said = self.removals
        return "\n".join(
            [
                f"{'perplexity':<26}{'5 %':>8}{'median':>11}{'95 %':>10}",
                *(
                    f"{name:<26}{low:>8.2f}{middle:>11.2f}{high:>10.2f}"
                    for name, (low, middle, high) in (("good text", self.good), ("unwanted text", self.unwanted))
                ),
                f"an unwanted text is the more surprising one in {self.area:.1%} of all pairs",
                f"removed above {self.limit:.3g}: precision {said.precision:.3f}, recall {said.recall:.3f}",
                f"precision where 1 % of the text is unwanted: {said.precision_at(0.01):.3f}",
                said.table(),
            ]
        )

    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "limit": self.limit,
            **self.removals.facts(),
            "precision_where_1_percent_is_unwanted": known(self.removals.precision_at(0.01)),
            "area_under_curve": self.area,
            "perplexity_of_good": list(self.good),
            "perplexity_of_unwanted": list(self.unwanted),
        }


def measured(
    model: NgramModel, good: Sequence[str], unwanted: Sequence[str], *, limit: float, sources: Sequence[str] = ()
) -> Report:
    """What removing all above ``limit`` does to texts that the model was not trained on.

    ``sources`` says where each of the good texts is from; none leaves that out.

    Raises:
        DataError: there is no good text, or no unwanted one.
    """
    texts = [*good, *unwanted]
    found = np.array([model.perplexity(text) for text in texts])
    bad = np.arange(len(texts)) >= len(good)
    finite = np.isfinite(found)
    if not (finite & bad).any() or not (finite & ~bad).any():
        raise DataError("there is no text to measure with", received=f"{len(good)} good, {len(unwanted)} unwanted")
    return Report(
        limit=limit,
        good=_percentiles(found[~bad & finite]),
        unwanted=_percentiles(found[bad & finite]),
        area=_area(found[~bad], found[bad]),
        removals=removals(texts, bad, found > limit, sources=[*sources, *[""] * len(unwanted)] if sources else ()),
    )


def shuffled(texts: Iterable[str], seed: int = 0) -> list[str]:
    """Each text with its words in another order: they are real, and say nothing."""
    chance = random.Random(seed)
    result = []
    for text in texts:
        words = text.split()
        # Where there are no spaces, letters are shuffled.
        parts = words if len(text) < 20 * len(words) else list(text)
        chance.shuffle(parts)
        result.append((" " if parts is words else "").join(parts))
    return result


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, [5, 50, 95])
    return float(low), float(middle), float(high)


def _area(good: np.ndarray, bad: np.ndarray) -> float:
    """The Mann-Whitney statistic: pairs in the right order, those that are equal counted half."""
    ordered = np.sort(good)
    below, upto = np.searchsorted(ordered, bad, "left"), np.searchsorted(ordered, bad, "right")
    return float((below + upto).mean() / 2 / len(good))
