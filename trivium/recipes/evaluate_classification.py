"""How often a model gives the right label, and whether it is as sure as it is right."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trivium.data.labelled import LabelledText
from trivium.errors import DataError
from trivium.evaluation import metrics
from trivium.evaluation.intervals import bootstrap, proportion
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Label
from trivium.runtime.progress import bar

_AT_ONCE = 256
_NAMED = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classified:
    """One text with the label it should have."""

    text: str
    """The text."""
    target: str
    """Its label in the data."""
    label: str
    """What the model says."""
    probability: float
    """How sure it is."""
    probabilities: dict[str, float]
    """Of every label."""


def evaluate_classification(
    model: LocalModel, examples: Sequence[LabelledText], *, limit: int | None = None, silent: bool = True
) -> tuple[dict[str, Any], list[Classified]]:
    """`{"task", "metrics", "intervals", "count", "settings"}` and what each text was taken for.

    Accuracy (Wilson's interval) and macro F1 (bootstrap) at 95 %; "calibration_error" is that of Guo et al. 2017,
    "loss" the mean of -log p(label), in nats. A `limit` takes texts spread evenly over the data, which may well be
    sorted by label. Raises `DataError` for a label that the model does not know, before any work.
    """
    check_labels(model, examples)
    chosen = evenly_spread(examples, limit)
    answered: list[Classified] = []
    with bar("classification", total=len(chosen), unit="texts", silent=silent) as progress:
        for start in range(0, len(chosen), _AT_ONCE):
            some = chosen[start : start + _AT_ONCE]
            found = model.classify([example.text for example in some])
            answered += map(_beside, some, found)
            progress.advance(len(some))
    figures, intervals = _figures(answered, model.labels)
    settings = {"limit": limit, "labels": len(model.labels), "calibration_bins": 15, "confidence": 0.95}
    return {
        "task": "classification",
        "metrics": figures,
        "intervals": intervals,
        "count": len(answered),
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
    return Classified(text=example.text, target=example.label, **dataclasses.asdict(found))


def _figures(answered: Sequence[Classified], labels: Sequence[str]) -> tuple[dict[str, Any], dict[str, list[float]]]:
    given, wanted = [one.label for one in answered], [one.target for one in answered]
    number = {label: index for index, label in enumerate(labels)}
    probabilities = np.array([[one.probabilities[label] for label in labels] for one in answered])
    calibration = metrics.calibration(probabilities, [number[label] for label in wanted])
    shares = metrics.precision_recall_f1(given, wanted)
    losses = [-math.log(p) if (p := one.probabilities[one.target]) > 0 else math.inf for one in answered]
    loss = math.fsum(losses) / len(losses)
    figures = {
        **metrics.accuracy(given, wanted),
        "macro_f1": shares["f1_macro"],
        **metrics.mcc(given, wanted),
        "calibration_error": calibration["ece"],
        "brier": calibration["brier"],
        "loss": loss if math.isfinite(loss) else None,  # JSON has no infinity
        "per_label": shares["per_class"],
    }
    right = sum(map(str.__eq__, given, wanted))
    intervals = {"accuracy": proportion(right, len(answered))}
    if len(answered) > 1:  # of one example nothing can be drawn
        intervals["macro_f1"] = bootstrap(_counts(given, wanted), _macro_f1)
    return figures, {name: [interval.low, interval.high] for name, interval in intervals.items()}


def _counts(given: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """A row an example: for each label whether it is right, was given, and is true, [N, 3 L]."""
    labels = sorted({*given, *wanted})
    said, true = (np.array([[label == one for label in labels] for one in some]) for some in (given, wanted))
    return np.concatenate([said & true, said, true], axis=1).astype(np.float64)


def _macro_f1(sums: np.ndarray) -> np.ndarray:
    right, said, true = np.split(sums, 3, axis=-1)
    return np.asarray((2 * right / np.maximum(said + true, 1)).mean(-1))
