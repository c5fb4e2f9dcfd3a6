"""Krippendorff's alpha, by the package of that name: how well raters agree, beyond what chance would give.

1 is agreement, 0 what chance gives, below 0 worse than that; each rater may have left things out (Krippendorff 2011,
"Computing Krippendorff's Alpha-Reliability"). His own rule of thumb asks for 0.8, and for 0.667 where a tentative
conclusion will do (2004, "Reliability in Content Analysis", section 4).
"""

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from trivium.errors import DataError, Unsupported
from trivium.evaluation.metrics import checks

LEVELS = ("nominal", "ordinal", "interval", "ratio")
"""What ratings may be: names, ranks, numbers whose differences count, or numbers with a true zero."""


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | str | None]], *, level: str = "nominal"
) -> dict[str, float | int]:
    """{"alpha", "units", "ratings"}: agreement, at most 1, and of how many units and ratings.

    Args:
        ratings: of each rater one for each unit, in the same order of units; None (or NaN) where there is none. Texts
            for names, numbers for the other levels.
        level: one of `LEVELS`, which says how far apart two ratings are.

    Raises:
        DataError: fewer than two raters, unequal counts, no unit with two ratings, ratings that are all equal, texts
            where numbers are needed, or negative numbers for a ratio.
        Unsupported: the package is not installed.
    """
    checks.choose("level", level, LEVELS)
    counts = {len(rater) for rater in ratings}
    if len(ratings) < 2 or len(counts) != 1:
        raise DataError(
            "agreement is of two raters or more, who rate the same units",
            received=f"{len(ratings)} raters with {', '.join(map(str, sorted(counts))) or 'no'} ratings",
            expected="as many of each, with None for what was left out",
        )
    units = [
        [rating for rating in unit if rating is not None and rating == rating] for unit in zip(*ratings, strict=True)
    ]
    # A unit with one rating tells nothing of agreement, not even of what chance gives (Krippendorff 2011, step C).
    units = [unit for unit in units if len(unit) > 1]
    _check([rating for unit in units for rating in unit], level)
    values = sorted({rating for unit in units for rating in unit})
    if len(values) < 2:
        raise DataError(
            "agreement cannot be told from chance",
            received=f"{len(units)} units with two ratings or more, {len(values)} different ratings among them",
            expected="at least two different ones",
        )
    table = np.array([[unit.count(value) for value in values] for unit in units])
    alpha = _package().alpha(value_counts=table, value_domain=values, level_of_measurement=level)
    return {"alpha": float(alpha), "units": len(units), "ratings": int(table.sum())}


def _check(ratings: Sequence[float | str], level: str) -> None:
    """Raises `DataError` for what is no rating of this level."""
    if level == "nominal" and all(isinstance(rating, str) for rating in ratings):
        return
    for rating in ratings:
        if isinstance(rating, str) or not math.isfinite(rating):
            expected = "only texts or only numbers" if level == "nominal" else "a finite number"
            raise DataError(f"this is no {level} rating", received=repr(rating)[:80], expected=expected)
        if level == "ratio" and rating < 0:
            raise DataError("a ratio has a true zero", received=rating, expected="numbers from 0 on")


def _package() -> ModuleType:
    try:
        import krippendorff
    except ImportError:
        raise Unsupported("agreement of raters needs krippendorff", fix='pip install "trivium-lm[eval]"') from None
    return krippendorff
