"""How sure a figure of training runs is: few seeds, so Student's interval and no bootstrap.

`trivium.evaluation.intervals` speaks of other examples for the same run, this of other runs on the same examples. Three
runs resampled with replacement are alike in every ninth draw; with n - 1 degrees of freedom the interval of the mean is
as wide as it has to be, if the figure is normally distributed over seeds.
"""

import math
from collections.abc import Sequence

import numpy as np

from trivium.errors import DataError
from trivium.evaluation.intervals import Interval
from trivium.evaluation.metrics import checks

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(80)


def over_seeds(figures: Sequence[float] | np.ndarray, *, confidence: float = 0.95) -> Interval:
    """The mean of a figure over runs, one number a seed, and where it lies. Raises `DataError` for fewer than two."""
    values = checks.numbers(figures, "figures of the runs")
    if values.ndim != 1 or len(values) < 2:
        raise DataError("one run says nothing of others", received=f"shape {list(values.shape)}", expected="2 or more")
    if not 0 < confidence < 1:
        raise DataError("the confidence is no share", received=confidence, expected="above 0 and below 1, such as 0.95")
    mean = float(values.mean())
    half = student_quantile(confidence, len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(estimate=mean, low=mean - half, high=mean + half)


def student_quantile(confidence: float, freedom: int) -> float:
    """t with P(|T| < t) = `confidence` of Student's distribution with so many degrees of freedom.

    With t = sqrt(n) tan(a) the density in a is proportional to cos(a)^(n - 1), smooth on a finite range, and its whole
    is known: P(|T| < t) is integrated by Gauss and Legendre, and a is found by halving.
    """
    whole = math.sqrt(math.pi) / 2 * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        places = angle / 2 * (_NODES + 1)
        within = angle / 2 * float(_WEIGHTS @ np.cos(places) ** (freedom - 1)) / whole
        low, high = (angle, high) if within < confidence else (low, angle)
    return math.sqrt(freedom) * math.tan(low)
