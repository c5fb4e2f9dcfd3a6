"""F1 of an answer's words, as SQuAD counts it: for answers in words, not for classes.

Rajpurkar et al. 2016, section 6.1: words of the prediction and of the answer as bags, after the normalisation of
`squad`; of several answers the best. An empty answer, the right one to an unanswerable question (Rajpurkar et al. 2018,
SQuAD 2.0), is matched by an empty prediction alone. F1 of classes is in `precision_recall_f1`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from trivium.evaluation.metrics import checks, squad


def f1(predictions: Sequence[str], references: checks.References, *, per_example: bool = False) -> dict[str, Any]:
    """{"f1": 0 to 1}, the mean over questions. Raises `DataError` for unequal counts, or anything but texts."""
    figures = [
        max(_f1(squad.normalised(prediction).split(), squad.normalised(answer).split()) for answer in accepted)
        for prediction, accepted in checks.texts(predictions, references)
    ]
    return checks.means({"f1": figures}, per_example)


def _f1(written: list[str], wanted: list[str]) -> float:
    if not written or not wanted:
        return float(written == wanted)
    common = (Counter(written) & Counter(wanted)).total()
    return 2 * common / (len(written) + len(wanted))
