"""BLEU through sacreBLEU: n-grams of the prediction found in the references, over the whole corpus.

Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation"; Post 2018, "A Call for Clarity
in Reporting BLEU Scores", for why the signature belongs to the score. BLEU is a figure of the counts of a corpus, not a
mean of sentences; of several references each sentence takes the one nearest in length, of equally near the shorter.
Texts are given as people write them: sacreBLEU splits them into words.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trivium.errors import Unsupported
from trivium.evaluation.metrics import checks

TOKENIZERS = ("13a", "intl", "zh", "char", "none")
"""Those of sacreBLEU that need no download: its default; all scripts by Unicode's punctuation; Chinese; letters."""
SMOOTHINGS = {"exp": None, "floor": 0.1, "add-k": 1.0, "none": None}
"""Chen and Cherry 2014, as sacreBLEU has them: the name, and the value it has where none is given."""


def bleu(
    predictions: Sequence[str],
    references: checks.References,
    *,
    tokenizer: str = "13a",
    smoothing: str = "exp",
    smoothing_value: float | None = None,
    lowercase: bool = False,
    order: int = 4,
) -> dict[str, Any]:
    """{"bleu": 0 to 100, "signature", "precisions", "brevity_penalty", "prediction_words", "reference_words"}.

    `tokenizer` is one of `TOKENIZERS`; "13a" splits at no Chinese letter, which takes "zh". `smoothing` is one of
    `SMOOTHINGS`: what an order without a match counts. Raises `DataError` for unequal counts and unknown options,
    `Unsupported` where sacreBLEU is not installed.
    """
    pairs = checks.texts(predictions, references)
    metric = _metric(tokenizer, smoothing, smoothing_value, lowercase, order, effective_order=False)
    score = metric.corpus_score([prediction for prediction, _ in pairs], transposed(pairs))
    return {
        "bleu": score.score,
        "signature": str(metric.get_signature()),
        "precisions": list(score.precisions),
        "brevity_penalty": score.bp,
        "prediction_words": score.sys_len,
        "reference_words": score.ref_len,
    }


def sentence_bleu(
    predictions: Sequence[str],
    references: checks.References,
    *,
    tokenizer: str = "13a",
    smoothing: str = "exp",
    smoothing_value: float | None = None,
    lowercase: bool = False,
    order: int = 4,
    per_example: bool = False,
) -> dict[str, Any]:
    """{"sentence_bleu": 0 to 100, "signature"}: the mean over sentences, which is not `bleu`.

    With effective order: a sentence of three words is judged by its n-grams up to three. Options as in `bleu`.
    """
    pairs = checks.texts(predictions, references)
    metric = _metric(tokenizer, smoothing, smoothing_value, lowercase, order, effective_order=True)
    scores = [metric.sentence_score(*pair).score for pair in pairs]
    metric.num_refs = _references_each(pairs)
    return checks.means({"sentence_bleu": scores}, per_example) | {"signature": str(metric.get_signature())}


def bleu_counts(
    predictions: Sequence[str],
    references: checks.References,
    *,
    tokenizer: str = "13a",
    lowercase: bool = False,
    order: int = 4,
) -> np.ndarray:
    """The counts of which BLEU is made, a row a sentence, [N, 2 + 2 order]: `trivium.evaluation.intervals` sums them.

    Words of the prediction, words of the nearest reference, then matched n-grams and n-grams of the prediction by
    order.
    """
    pairs = checks.texts(predictions, references)
    metric = _metric(tokenizer, "none", None, lowercase, order, effective_order=True)
    scores = [metric.sentence_score(*pair) for pair in pairs]
    return np.array([[score.sys_len, score.ref_len, *score.counts, *score.totals] for score in scores], dtype=np.int64)


def bleu_of(smoothing: str = "exp", smoothing_value: float | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """The function from sums of `bleu_counts` [..., 2 + 2 order] to BLEU [...], 0 to 100."""
    checks.choose("smoothing", smoothing, tuple(SMOOTHINGS))
    value = SMOOTHINGS[smoothing] if smoothing_value is None else smoothing_value

    def of_sums(sums: np.ndarray) -> np.ndarray:
        lengths, counts = sums[..., :2].astype(np.float64), sums[..., 2:].astype(np.float64)
        matched, total = np.split(counts, 2, axis=-1)
        none = ~matched.any(-1)
        if smoothing == "add-k":
            matched, total = (np.concatenate([part[..., :1], part[..., 1:] + value], -1) for part in (matched, total))
        missed = (matched == 0) & (total > 0)
        if smoothing == "floor":
            matched = np.where(missed, value, matched)
        elif smoothing == "exp":  # each order without a match counts half as much as the one before
            matched = np.where(missed, 0.5 ** np.cumsum(missed, -1), matched)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where((total > 0) & (matched > 0), np.log(matched / total), -np.inf)
            brevity = np.minimum(0.0, 1 - lengths[..., 1] / lengths[..., 0])
        return np.where(none, 0.0, 100 * np.exp(brevity + logs.mean(-1)))

    return of_sums


def transposed(pairs: list[tuple[str, list[str]]]) -> Any:
    """References as sacreBLEU takes them: the first of every sentence, the second of every sentence, ..."""
    most = max(len(accepted) for _, accepted in pairs)
    return [[accepted[i] if i < len(accepted) else None for _, accepted in pairs] for i in range(most)]


def sacrebleu_metrics() -> Any:
    """`sacrebleu.metrics`. Raises `Unsupported` where it is not installed."""
    try:
        import sacrebleu.metrics
    except ImportError:
        raise Unsupported("BLEU and chrF need sacreBLEU", fix='pip install "trivium-lm[eval]"') from None
    return sacrebleu.metrics


def _references_each(pairs: list[tuple[str, list[str]]]) -> int:
    """How many references a sentence has; -1, as in sacreBLEU, where not all have as many."""
    sizes = {len(accepted) for _, accepted in pairs}
    return sizes.pop() if len(sizes) == 1 else -1


def _metric(
    tokenizer: str, smoothing: str, value: float | None, lowercase: bool, order: int, *, effective_order: bool
) -> Any:
    checks.choose("tokenizer for BLEU", tokenizer, TOKENIZERS)
    checks.choose("smoothing", smoothing, tuple(SMOOTHINGS))
    checks.at_least_one("order", order)
    return sacrebleu_metrics().BLEU(
        lowercase=lowercase,
        force=True,  # whether a text "looks tokenized" is no reason to write to the log
        tokenize=tokenizer,
        smooth_method=smoothing,
        smooth_value=value,
        max_ngram_order=order,
        effective_order=effective_order,
    )
