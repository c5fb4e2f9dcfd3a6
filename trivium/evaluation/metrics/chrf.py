"""chrF and chrF++ through sacreBLEU: F-score over n-grams of letters, and of words as well.

Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation" (beta 2: recall counts twice as much), and
2017, "chrF++: words helping character n-grams", which is `word_order` 2. It needs no tokenizer, so it serves languages
with rich endings and scripts without spaces.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trivium.errors import DataError
from trivium.evaluation.metrics import checks
from trivium.evaluation.metrics.bleu import sacrebleu_metrics, transposed


def chrf(
    predictions: Sequence[str],
    references: checks.References,
    *,
    word_order: int = 0,
    character_order: int = 6,
    beta: int = 2,
    lowercase: bool = False,
    whitespace: bool = False,
    per_example: bool = False,
) -> dict[str, Any]:
    """{"chrf": 0 to 100, "signature"} of the corpus; `word_order` 2 gives "chrf++".

    Of several references each sentence takes the best. `whitespace` counts spaces as letters. `per_example` adds the
    figure of each sentence, whose mean is not that of the corpus. Raises `DataError` for unequal counts and orders
    below their least, `Unsupported` where sacreBLEU is not installed.
    """
    pairs = checks.texts(predictions, references)
    checks.at_least_one("character_order", character_order)
    checks.at_least_one("beta", beta)
    if word_order < 0:
        raise DataError("word_order cannot be negative", received=word_order, expected="0 for chrF, 2 for chrF++")
    metric = sacrebleu_metrics().CHRF(
        char_order=character_order, word_order=word_order, beta=beta, lowercase=lowercase, whitespace=whitespace
    )
    score = metric.corpus_score([prediction for prediction, _ in pairs], transposed(pairs))
    name = "chrf" + "+" * word_order
    result = {name: score.score, "signature": str(metric.get_signature())}
    if per_example:
        result["per_example"] = {name: [metric.sentence_score(*pair).score for pair in pairs]}
    return result


def chrf_counts(
    predictions: Sequence[str], references: checks.References, *, character_order: int = 6, lowercase: bool = False
) -> np.ndarray:
    """The counts of which chrF is made, a row a sentence, [N, 3 character_order]; `trivium.evaluation.intervals` sums
    them.

    For each order n-grams of the prediction, of the reference, and those in both. Of several references each sentence
    takes the best.
    """
    checks.at_least_one("character_order", character_order)
    of_sums = chrf_of()
    rows = []
    for prediction, accepted in checks.texts(predictions, references):
        grams = _grams(prediction, character_order, lowercase)
        against = [_matches(grams, _grams(reference, character_order, lowercase)) for reference in accepted]
        rows.append(max(against, key=lambda counts: float(of_sums(np.array(counts)))))
    return np.array(rows, dtype=np.int64)


def chrf_of(beta: int = 2) -> Callable[[np.ndarray], np.ndarray]:
    """The function from sums of `chrf_counts` [..., 3 orders] to chrF [...], 0 to 100.

    Precision and recall are means over the orders that both sides have, as in sacreBLEU.
    """
    checks.at_least_one("beta", beta)

    def of_sums(sums: np.ndarray) -> np.ndarray:
        predicted, true, right = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 3).astype(np.float64), -1, 0)
        counted = (predicted > 0) & (true > 0)
        orders = np.maximum(counted.sum(-1), 1)
        precision, recall = (
            np.where(counted, right / np.maximum(whole, 1), 0.0).sum(-1) / orders for whole in (predicted, true)
        )
        both = beta**2 * precision + recall
        return np.asarray(100 * (1 + beta**2) * precision * recall / np.where(both > 0, both, 1.0))

    return of_sums


def _grams(text: str, most: int, lowercase: bool) -> list[Counter[str]]:
    """The n-grams of letters by order, spaces left out."""
    letters = "".join((text.lower() if lowercase else text).split())
    return [Counter(letters[at : at + n] for at in range(len(letters) - n + 1)) for n in range(1, most + 1)]


def _matches(predicted: list[Counter[str]], true: list[Counter[str]]) -> list[int]:
    counts = []
    for given, wanted in zip(predicted, true, strict=True):
        # An order that the reference is too short for counts for neither side.
        counts += [given.total() if wanted else 0, wanted.total(), (given & wanted).total()]
    return counts
