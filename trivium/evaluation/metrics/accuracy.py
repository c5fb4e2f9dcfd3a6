"""Accuracy: the share of labels that are right; balanced, the mean of that share over the true classes."""

from collections import Counter
from typing import Any

from trivium.evaluation.metrics import checks


def accuracy(predictions: checks.Labels, references: checks.Labels, *, per_example: bool = False) -> dict[str, Any]:
    """{"accuracy", "balanced_accuracy"}, 0 to 1 each.

    The balanced one is the mean recall of the classes of `references`: guessing the commonest of C classes gives 1 / C.
    `per_example` adds 1 or 0 for each example. Raises `DataError` for unequal counts and for labels that are neither
    texts nor whole numbers, or both.
    """
    given, wanted = checks.labels(predictions, references)
    right = [float(a == b) for a, b in zip(given, wanted, strict=True)]
    hits = Counter(label for label, hit in zip(wanted, right, strict=True) if hit)
    recalls = [hits[label] / times for label, times in Counter(wanted).items()]
    return checks.means({"accuracy": right}, per_example) | {"balanced_accuracy": sum(recalls) / len(recalls)}
