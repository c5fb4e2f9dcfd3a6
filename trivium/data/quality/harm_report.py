"""What a classifier of harmful text gets right, and whom it silences: measured on labelled texts.

    report = measured(classifier, held_out, their_labels)
    print(report.table())

Trained on the tweets of Davidson et al. (2017) and asked about held-out ones that people found harmless, the classifier
removes 15 % of all at a probability of 0.5, but 35 % of those with spellings of African-American English: removing what
it flags removes the speech of those very people (Sap et al. 2019; Dodge et al. 2021). See `by_group`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trivium.data.quality.by_group import GROUPS, Removals, known, removals
from trivium.data.quality.harm import HarmClassifier
from trivium.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """How well one label is told, each text having the likeliest."""

    label: str
    count: int
    """Texts that have it."""
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a classifier does to labelled texts."""

    classes: tuple[ClassFigures, ...]
    threshold: float
    """Probability of harm from which a text is removed."""
    removals: Removals
    """What that removes."""
    calibration: tuple[tuple[float, float, int], ...]
    """By tenths of the probability of harm: its mean, the share that is harmful, and the number of texts."""

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: the mean gap between probability and share (Guo et al. 2017, section 2)."""
        return sum(abs(mean - share) * count for mean, share, count in self.calibration) / self.removals.overall.texts

    def table(self) -> str:
        """All of it for people to read, with the warning that belongs to it."""
        said = self.removals
        lines = [f"{'label':<26}{'texts':>8}{'precision':>11}{'recall':>8}{'F1':>8}"]
        lines += [f"{c.label:<26}{c.count:>8}{c.precision:>11.3f}{c.recall:>8.3f}{c.f1:>8.3f}" for c in self.classes]
        lines += [
            f"removed from {self.threshold:.3f}: precision {said.precision:.3f}, recall {said.recall:.3f}",
            f"precision where 1 % of the text is harmful: {said.precision_at(0.01):.3f}",
            f"calibration error {self.calibration_error:.3f}",
            said.table(),
        ]
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "threshold": self.threshold,
            **self.removals.facts(),
            "precision_where_1_percent_is_harmful": known(self.removals.precision_at(0.01)),
            "calibration_error": self.calibration_error,
            "classes": [asdict(figures) for figures in self.classes],
        }


def measured(
    classifier: HarmClassifier,
    texts: Sequence[str],
    labels: Sequence[str],
    groups: Mapping[str, Sequence[str]] = GROUPS,
    *,
    threshold: float | None = None,
) -> Report:
    """What the classifier does to labelled texts that it was not trained on, altogether and by group.

    ``threshold`` is from where a text is removed; None is the lowest with a precision of 90 % on these texts.

    Raises:
        DataError: no text is harmful, or none is harmless.
    """
    truth = np.array([label in classifier.harmful for label in labels])
    if len(texts) != len(labels) or truth.all() or not truth.any():
        raise DataError(
            "the classifier cannot be measured on these labels",
            received=f"{len(texts)} texts, {len(labels)} labels, {truth.sum()} of them harmful",
            expected="one label a text, harmful ones and harmless ones",
        )
    probabilities = classifier.probabilities(texts)
    scores = classifier.harm(texts)
    if threshold is None:
        threshold = threshold_for(scores, truth, 0.9)
        threshold = 1.0 if threshold is None else threshold
    return Report(
        classes=_by_class(classifier.labels, probabilities, labels),
        threshold=threshold,
        removals=removals(texts, truth, scores >= threshold, groups),
        calibration=_calibration(scores, truth),
    )


def threshold_for(scores: np.ndarray, truth: np.ndarray, precision: float) -> float | None:
    """The lowest threshold at which at least the share ``precision`` of what is removed is true; None if there is none.
    Chosen on the texts that it is then reported on, it is somewhat flattered there."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order]) / np.arange(1, len(scores) + 1)
    last = np.append(scores[order][1:] != scores[order][:-1], True)  # equal scores go together
    good = np.flatnonzero((found >= precision) & last)
    return float(scores[order][good[-1]]) if len(good) else None


def _by_class(names: Sequence[str], probabilities: np.ndarray, labels: Sequence[str]) -> tuple[ClassFigures, ...]:
    said = np.array(names)[probabilities.argmax(axis=1)]
    true = np.array(labels)
    figures = []
    for name in names:
        right, said_so, is_so = ((said == name) & (true == name)).sum(), (said == name).sum(), (true == name).sum()
        figures.append(
            ClassFigures(
                label=name,
                count=int(is_so),
                precision=float(right / max(said_so, 1)),
                recall=float(right / max(is_so, 1)),
                f1=float(2 * right / max(said_so + is_so, 1)),
            )
        )
    return tuple(figures)


def _calibration(scores: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, float, int], ...]:
    tenth = np.minimum((scores * 10).astype(int), 9)
    cells = [tenth == number for number in range(10)]
    return tuple((float(scores[c].mean()), float(truth[c].mean()), int(c.sum())) for c in cells if c.any())
