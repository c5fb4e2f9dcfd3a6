"""How often a model gives the right label, and whether it is as sure as it is right."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trivium.data.labelled import LabelledText
from trivium.errors import DataError
from trivium.evaluation import metrics
from trivium.evaluation.intervals import proportion
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Label
from trivium.recipes.label_intervals import macro_f1_interval, mcc_interval
from trivium.runtime.progress import bar

_AT_ONCE = 256
_NAMED = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classified:
    """One text with the label it should have."""

    text: str
    """The text, or the first of two that are read together."""
    text_pair: str | None = None
    """The second."""
    target: str
    """Its label in the data."""
    label: str
    """What the model says."""
    probability: float
    """How sure it is."""
    probabilities: dict[str, float]
    """Of every label."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """What is measured of one text: nothing here grows with the number of labels."""

    target: int
    """The class it should have."""
    given: int
    """The class that it was given."""
    confidence: float
    """The largest probability of a label."""
    of_target: float
    """The probability of the right one."""
    brier: float
    """Squared distance of the probabilities from certainty of the right label (Brier 1950)."""


def evaluate_classification(
    model: LocalModel,
    examples: Sequence[LabelledText],
    *,
    limit: int | None = None,
    keep: bool = True,
    silent: bool = True,
) -> tuple[dict[str, Any], list[Classified]]:
    """`{"task", "metrics", "intervals", "count", "settings"}` and what each text was taken for.

    Accuracy (Wilson's interval), macro F1 and Matthews' correlation (bootstrap) at 95 %; "calibration_error" is that of
    Guo et al. 2017, "loss" the mean of -log p(label), in nats. A `limit` takes texts spread evenly over the data, which
    may well be sorted by label. Without `keep` the second is empty, and memory does not grow with texts times labels.
    Raises `DataError` for a label that the model does not know, before any work.
    """
    check_labels(model, examples)
    chosen = evenly_spread(examples, limit)
    outcomes: list[_Outcome] = []
    answered: list[Classified] = []
    with bar("classification", total=len(chosen), unit="texts", silent=silent) as progress:
        for start in range(0, len(chosen), _AT_ONCE):
            some = chosen[start : start + _AT_ONCE]
            found = model.classify([example.read for example in some])
            outcomes += _outcomes(some, found, model.labels)
            answered += map(_beside, some, found) if keep else ()
            progress.advance(len(some))
    figures, intervals = _figures(outcomes, model.labels)
    settings = {"limit": limit, "labels": len(model.labels), "calibration_bins": 15, "confidence": 0.95}
    return {
        "task": "classification",
        "metrics": figures,
        "intervals": intervals,
        "count": len(outcomes),
        "settings": settings,
    }, answered


def evenly_spread(examples: Sequence[LabelledText], limit: int | None) -> list[LabelledText]:
    """At most ``limit`` of the examples, at equal distances."""
    count = len(examples) if limit is None else min(limit, len(examples))
    return [examples[index * len(examples) // count] for index in range(count)]


def check_labels(model: LocalModel, examples: Sequence[LabelledText]) -> None:
    """Raises `DataError` for the first label that the model does not know."""
    known = set(model.labels)
    for example in examples:
        if example.label not in known:
            more = f" and {len(model.labels) - _NAMED} more" if len(model.labels) > _NAMED else ""
            raise DataError(
                "the model does not know a label",
                received=f"{example.where}: {example.label!r}",
                expected=", ".join(map(repr, model.labels[:_NAMED])) + more,
                fix="give data with the labels that the model was trained on, or train it on these",
            )


def _beside(example: LabelledText, found: Label) -> Classified:
    return Classified(text=example.text, text_pair=example.second, target=example.label, **dataclasses.asdict(found))


def _outcomes(examples: Sequence[LabelledText], found: Sequence[Label], labels: Sequence[str]) -> list[_Outcome]:
    number = {label: index for index, label in enumerate(labels)}
    targets = np.array([number[example.label] for example in examples])
    probabilities = np.array([[one.probabilities[label] for label in labels] for one in found])
    rows = np.arange(len(found))
    off = probabilities.copy()
    off[rows, targets] -= 1
    columns = (targets, probabilities.max(1), probabilities[rows, targets], (off**2).sum(1))
    return [
        _Outcome(target=target, given=number[one.label], confidence=confidence, of_target=of_target, brier=brier)
        for one, target, confidence, of_target, brier in zip(found, *(c.tolist() for c in columns), strict=True)
    ]


def _figures(outcomes: Sequence[_Outcome], labels: Sequence[str]) -> tuple[dict[str, Any], dict[str, list[float]]]:
    given, wanted = [labels[one.given] for one in outcomes], [labels[one.target] for one in outcomes]
    right = [int(one.given == one.target) for one in outcomes]
    calibration = metrics.calibration([one.confidence for one in outcomes], right)
    shares = metrics.precision_recall_f1(given, wanted)
    losses = [-math.log(one.of_target) if one.of_target > 0 else math.inf for one in outcomes]
    loss = math.fsum(losses) / len(losses)
    figures = {
        **metrics.accuracy(given, wanted),
        "macro_f1": shares["f1_macro"],
        **metrics.mcc(given, wanted),
        "calibration_error": calibration["ece"],
        "brier": math.fsum(one.brier for one in outcomes) / len(outcomes),
        "loss": loss if math.isfinite(loss) else None,  # JSON has no infinity
        "per_label": shares["per_class"],
    }
    intervals = {"accuracy": proportion(sum(right), len(outcomes))}
    if len(outcomes) > 1:  # of one example nothing can be drawn
        classes = np.array([(one.target, one.given) for one in outcomes]).T
        intervals["macro_f1"] = macro_f1_interval(classes[0], classes[1])
        intervals["mcc"] = mcc_interval(classes[0], classes[1])
    return figures, {name: [interval.low, interval.high] for name, interval in intervals.items()}
