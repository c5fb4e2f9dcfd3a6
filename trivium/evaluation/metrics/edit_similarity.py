"""Edit similarity: how much of a text need not be changed to make it the other one."""

from collections.abc import Sequence
from typing import Any

from trivium.evaluation.metrics import checks


def edit_similarity(
    predictions: Sequence[str], references: checks.References, *, per_example: bool = False
) -> dict[str, Any]:
    """{"edit_similarity": 0 to 1}: 1 - distance / length of the longer text, in characters, of the reference that is
    nearest (Svyatkovskiy et al. 2020, "IntelliCode Compose", section 7). Two empty texts are alike.

    Raises `DataError` for unequal counts or nothing to score.
    """
    scores = [
        max(_similarity(prediction, reference) for reference in accepted)
        for prediction, accepted in checks.texts(predictions, references)
    ]
    return checks.means({"edit_similarity": scores}, per_example)


def edit_distance(left: str, right: str) -> int:
    """Fewest insertions, deletions and replacements of a character (Levenshtein 1966)."""
    row = list(range(len(right) + 1))
    for i, ours in enumerate(left, 1):
        corner, row[0] = row[0], i
        for j, theirs in enumerate(right, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (ours != theirs))
    return row[-1]


def _similarity(left: str, right: str) -> float:
    longest = max(len(left), len(right))
    return 1.0 - edit_distance(left, right) / longest if longest else 1.0
