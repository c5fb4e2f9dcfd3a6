"""Precision, recall and F1 of classes: of each, and their micro, macro and weighted averages.

Of a class, precision is the share of its predictions that are right, recall the share of its examples that were found.
Where that is a share of nothing it is 0. Macro is the plain mean over classes, weighted the mean by their examples,
micro takes all decisions together, and is the accuracy where every class counts.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from trivium.errors import DataError
from trivium.evaluation.metrics import checks


def precision_recall_f1(
    predictions: checks.Labels,
    references: checks.Labels,
    *,
    labels: Sequence[checks.Label] | None = None,
    positive: checks.Label | None = None,
) -> dict[str, Any]:
    """{"precision_micro", ..., "f1_macro", "f1_weighted", "per_class": {label: {..., "support"}}}, 0 to 1 each.

    `labels` are the classes to report and to average over, all that occur where none are named: leave out "neutral", or
    name a class that never occurred. `positive` adds "precision", "recall" and "f1" of that class alone (MRPC and QQP
    of GLUE report the F1 of class 1). Raises `DataError` for unequal counts, unusable labels, and a `positive` that
    never occurs.
    """
    given, wanted = checks.labels(predictions, references)
    known = sorted({*given, *wanted})
    chosen = known if labels is None else list(labels)
    checks.labels([*chosen, *given], [*chosen, *wanted])  # "1" is not 1 here either
    if positive is not None and positive not in {*chosen, *known}:
        raise DataError(
            "the positive class never occurs", received=repr(positive), expected=", ".join(map(repr, known))
        )
    right = Counter(a for a, b in zip(given, wanted, strict=True) if a == b)
    predicted, support = Counter(given), Counter(wanted)
    per_class = {label: shares(right[label], predicted[label], support[label]) for label in chosen}
    result: dict[str, Any] = averages(per_class, right, predicted)
    if positive is not None:
        result |= shares(right[positive], predicted[positive], support[positive])
        del result["support"]
    return result | {"per_class": per_class}


def shares(right: int, predicted: int, support: int) -> dict[str, float]:
    """Precision, recall, F1 and support from counts."""
    return {
        "precision": right / predicted if predicted else 0.0,
        "recall": right / support if support else 0.0,
        "f1": 2 * right / (predicted + support) if predicted + support else 0.0,
        "support": support,
    }


def averages(per_class: dict[Any, dict[str, float]], right: Counter, predicted: Counter) -> dict[str, float]:
    """Micro, macro and weighted means of the shares of `per_class`; all 0 where there is no class."""
    support = {label: int(figures["support"]) for label, figures in per_class.items()}
    total = sum(support.values())
    micro = shares(sum(right[c] for c in per_class), sum(predicted[c] for c in per_class), total)
    result = {}
    for name in ("precision", "recall", "f1"):
        result[f"{name}_micro"] = micro[name]
        result[f"{name}_macro"] = sum(figures[name] for figures in per_class.values()) / max(len(per_class), 1)
        weighted = sum(figures[name] * support[label] for label, figures in per_class.items())
        result[f"{name}_weighted"] = weighted / max(total, 1)
    return result
