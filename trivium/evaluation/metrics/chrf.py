"""chrF and chrF++ through sacreBLEU: F-score over n-grams of letters, and of words as well.

Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation" (beta 2: recall counts twice as much), and
2017, "chrF++: words helping character n-grams", which is `word_order` 2. It needs no tokenizer, so it serves languages
with rich endings and scripts without spaces.
"""

from collections.abc import Sequence
from typing import Any

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
