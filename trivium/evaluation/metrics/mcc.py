"""Matthews correlation coefficient: the correlation of two labellings, 0 for any guess that ignores the example.

Matthews 1975 for two classes; for more, R_K of Gorodkin 2004, "Comparing two K-category assignments by a K-category
correlation coefficient", of which the two-class formula is a case. CoLA of GLUE is judged by it.
"""

import math
from collections import Counter

from trivium.evaluation.metrics import checks


def mcc(predictions: checks.Labels, references: checks.Labels) -> dict[str, float]:
    """{"mcc": -1 to 1}; 0 where predictions or references are all of one class.

    Raises `DataError` for unequal counts and for labels that are neither texts nor whole numbers, or both.
    """
    given, wanted = checks.labels(predictions, references)
    total, right = len(given), sum(a == b for a, b in zip(given, wanted, strict=True))
    predicted, true = Counter(given), Counter(wanted)
    # In whole numbers, so that nothing cancels.
    covariance = right * total - sum(times * true[label] for label, times in predicted.items())
    spreads = [total**2 - sum(times**2 for times in counts.values()) for counts in (predicted, true)]
    return {"mcc": covariance / math.sqrt(spreads[0] * spreads[1]) if all(spreads) else 0.0}
