"""Whether the vectors of two sentences are as near as the sentences are alike (semantic textual similarity)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from trivium.data.labelled import LabelledText
from trivium.errors import DataError
from trivium.lm.local import LocalModel
from trivium.recipes.evaluate_classification import evenly_spread
from trivium.recipes.evaluate_regression import correlated
from trivium.runtime.progress import bar

_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """Two sentences."""

    text: str
    """The first."""
    text_pair: str
    """The second."""
    target: float
    """How alike people find them."""
    similarity: float
    """The cosine of their vectors."""


def evaluate_embedding(
    model: LocalModel, examples: Sequence[LabelledText], *, limit: int | None = None, silent: bool = True
) -> tuple[dict[str, Any], list[Compared]]:
    """`{"task", "metrics", "intervals", "count", "settings"}` and the similarity of every pair.

    Spearman's and Pearson's correlation of the cosines with what people said (Cer et al. 2017, "SemEval-2017 Task 1"),
    with the intervals of `correlation_interval` at 95 %. Raises `DataError` for examples that are no pairs, or whose
    label is no number, before any work.
    """
    chosen = evenly_spread(examples, limit)
    targets = [example.number for example in chosen]
    pairs = [_pair(example) for example in chosen]
    found: list[float] = []
    cut = 0
    with bar("embedding", total=len(chosen), unit="pairs", silent=silent) as progress:
        for start in range(0, len(chosen), _AT_ONCE):
            some = pairs[start : start + _AT_ONCE]
            read = model.embeddings([text for pair in some for text in pair])
            # In float64: a sum of hundreds of products decides over ranks.
            first, second = read.vectors[::2].double(), read.vectors[1::2].double()
            found += (first * second).sum(-1).tolist()
            cut += sum(tokens > 0 for tokens in read.cut_tokens)
            progress.advance(len(some))
    figures, intervals = correlated(found, targets)
    answered = [
        Compared(text=first, text_pair=second, target=target, similarity=similarity)
        for (first, second), target, similarity in zip(pairs, targets, found, strict=True)
    ]
    return {
        "task": "embedding",
        "metrics": figures,
        "intervals": intervals,
        "count": len(chosen),
        "settings": {"limit": limit, "cut_texts": cut, "confidence": 0.95},
    }, answered


def _pair(example: LabelledText) -> tuple[str, str]:
    if example.second is None:
        raise DataError(
            "vectors are compared, and here is only one text",
            received=example.where,
            expected="two sentences and how alike they are",
            fix="name the columns: --text-field sentence1 --second-field sentence2 --label-field score",
        )
    return example.text, example.second
