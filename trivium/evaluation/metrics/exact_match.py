"""Exact match: the share of predictions that are, to the letter, one of the answers accepted."""

from collections.abc import Sequence
from typing import Any

from trivium.evaluation.metrics import checks, squad

NORMALISATIONS = {"none": str, "squad": squad.normalised}


def exact_match(
    predictions: Sequence[str],
    references: checks.References,
    *,
    normalisation: str = "none",
    per_example: bool = False,
) -> dict[str, Any]:
    """{"exact_match": 0 to 1}. `normalisation` "squad" overlooks case, punctuation and articles.

    An unanswerable question has the one reference "". Raises `DataError` for unequal counts or nothing to score.
    """
    checks.choose("normalisation", normalisation, tuple(NORMALISATIONS))
    read = NORMALISATIONS[normalisation]
    hits = [
        float(read(prediction) in {read(answer) for answer in accepted})
        for prediction, accepted in checks.texts(predictions, references)
    ]
    return checks.means({"exact_match": hits}, per_example)
