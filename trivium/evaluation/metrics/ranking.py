"""How well a search puts what is relevant first: nDCG, MRR, recall and precision at k, and MAP.

A prediction is a list of document ids, the best first; a reference is the ids that are relevant to that query, or
{id: grade} where some are more so (0: judged, not relevant). What nobody judged counts as not relevant.

DCG is that of Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", with the discount
log2(rank + 1), over the DCG of the best order. Average precision sums the precision at each relevant document found,
over all relevant ones, found or not (Buckley and Voorhees 2000, section 2), as trec_eval does.
"""

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

from trivium.errors import DataError
from trivium.evaluation.metrics import checks

Ranked = Sequence[Sequence[Hashable]]
Relevant = Sequence[Mapping[Hashable, float] | Collection[Hashable]]

GAINS: dict[str, Callable[[float], float]] = {"linear": float, "exponential": lambda grade: 2.0**grade - 1}
"""What a grade is worth: itself, as in trec_eval and scikit-learn, or 2^grade - 1 (Burges et al. 2005)."""


def ndcg(
    predictions: Ranked, references: Relevant, *, k: int = 10, gain: str = "linear", per_example: bool = False
) -> dict[str, Any]:
    """{"ndcg@k": 0 to 1}, the mean over queries; `gain` is one of `GAINS`.

    Raises `DataError` as all of this file do: for unequal counts, a document ranked twice, a query to which nothing is
    relevant, and grades that are negative or no finite number.
    """
    checks.choose("gain", gain, tuple(GAINS))

    def figure(ranked: Sequence[Hashable], grades: Mapping[Hashable, float]) -> float:
        best = sorted((grade for grade in grades.values()), reverse=True)[:k]
        return _dcg([grades.get(one, 0.0) for one in ranked[:k]], gain) / _dcg(best, gain)

    return _mean(f"ndcg@{k}", figure, predictions, references, k, per_example)


def mrr(
    predictions: Ranked, references: Relevant, *, k: int | None = None, per_example: bool = False
) -> dict[str, Any]:
    """{"mrr": 0 to 1}: one over the rank of the first relevant document; 0 where none is among the first `k`."""

    def figure(ranked: Sequence[Hashable], grades: Mapping[Hashable, float]) -> float:
        ranks = (rank for rank, one in enumerate(ranked[:k], 1) if grades.get(one))
        return 1 / next(ranks, math.inf)

    return _mean("mrr" if k is None else f"mrr@{k}", figure, predictions, references, k, per_example)


def recall_at(predictions: Ranked, references: Relevant, *, k: int = 10, per_example: bool = False) -> dict[str, Any]:
    """{"recall@k": 0 to 1}: the share of the relevant documents that are among the first `k`."""

    def figure(ranked: Sequence[Hashable], grades: Mapping[Hashable, float]) -> float:
        return _found(ranked[:k], grades) / _found(list(grades), grades)

    return _mean(f"recall@{k}", figure, predictions, references, k, per_example)


def precision_at(
    predictions: Ranked, references: Relevant, *, k: int = 10, per_example: bool = False
) -> dict[str, Any]:
    """{"precision@k": 0 to 1}: relevant documents among the first `k`, over `k`, however few were ranked."""

    def figure(ranked: Sequence[Hashable], grades: Mapping[Hashable, float]) -> float:
        return _found(ranked[:k], grades) / k

    return _mean(f"precision@{k}", figure, predictions, references, k, per_example)


def mean_average_precision(
    predictions: Ranked, references: Relevant, *, k: int | None = None, per_example: bool = False
) -> dict[str, Any]:
    """{"map": 0 to 1}, over the first `k` documents, or all that are ranked."""

    def figure(ranked: Sequence[Hashable], grades: Mapping[Hashable, float]) -> float:
        found, total = 0, 0.0
        for rank, one in enumerate(ranked[:k], 1):
            if grades.get(one):
                found += 1
                total += found / rank
        return total / _found(list(grades), grades)

    return _mean("map" if k is None else f"map@{k}", figure, predictions, references, k, per_example)


def _mean(
    name: str,
    figure: Callable[[Sequence[Hashable], Mapping[Hashable, float]], float],
    predictions: Ranked,
    references: Relevant,
    k: int | None,
    per_example: bool,
) -> dict[str, Any]:
    if k is not None:
        checks.at_least_one("k", k)
    checks.count(predictions, references)
    figures = []
    for index, (ranked, relevant) in enumerate(zip(predictions, references, strict=True)):
        if isinstance(ranked, str) or len(set(ranked)) < len(ranked):
            raise DataError(f"query {index} has no list of different documents", received=repr(ranked)[:100])
        figures.append(figure(ranked, _grades(relevant, index)))
    return checks.means({name: figures}, per_example)


def _grades(relevant: Mapping[Hashable, float] | Collection[Hashable], index: int) -> dict[Hashable, float]:
    if isinstance(relevant, str):
        raise DataError(f"query {index} has no list of relevant documents", received=repr(relevant)[:100])
    grades = dict(relevant) if isinstance(relevant, Mapping) else dict.fromkeys(relevant, 1.0)
    if not all(0 <= grade < math.inf for grade in grades.values()):
        raise DataError(f"query {index} has grades that are negative or no number", received=repr(grades)[:100])
    if not any(grades.values()):
        raise DataError(
            f"nothing is relevant to query {index}, so no ranking of it is better than another",
            fix="leave such queries out, and say how many there were",
        )
    return grades


def _found(ranked: Sequence[Hashable], grades: Mapping[Hashable, float]) -> int:
    return sum(1 for one in ranked if grades.get(one))


def _dcg(grades: Sequence[float], gain: str) -> float:
    return sum(GAINS[gain](grade) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))
