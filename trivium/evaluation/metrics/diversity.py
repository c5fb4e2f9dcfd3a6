"""How much a set of texts repeats itself: distinct-n, Self-BLEU, and repetition within a text.

distinct-n (Li et al. 2016, "A Diversity-Promoting Objective Function", section 4.3) is the share of different n-grams
among all n-grams of the set; it falls as a set grows, so compare sets of one size. Those who work on text GANs call it
unique-n. Self-BLEU (Zhu et al. 2018, "Texygen", section 3.3) is the mean BLEU of each text against all the others as
references; `pooled_bleu` has it for several orders at once. Repetition (Welleck et al. 2020, "Neural Text Generation
with Unlikelihood Training", section 6.1, seq-rep-n) is the share of n-grams of a text that stood in it before. Words
are those of `words.TOKENIZERS`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from trivium.evaluation.metrics import checks
from trivium.evaluation.metrics.pooled_bleu import pooled_self_bleu
from trivium.evaluation.metrics.words import reader


def distinct(
    predictions: Sequence[str], *, n: Sequence[int] = (1, 2, 3), tokenizer: str = "unicode"
) -> dict[str, float]:
    """{"distinct1", "distinct2", ...}: 0 to 1, high where little is repeated; 0 where no text has n words.

    Raises `DataError` where there are no texts, or an `n` is below 1.
    """
    words = _words(predictions, tokenizer)
    result = {}
    for length in n:
        checks.at_least_one("n", length)
        grams = Counter(gram for text in words for gram in _grams(text, length))
        result[f"distinct{length}"] = len(grams) / max(grams.total(), 1)
    return result


def repetition(
    predictions: Sequence[str], *, n: int = 4, tokenizer: str = "unicode", per_example: bool = False
) -> dict[str, Any]:
    """{"repetition": 0 to 1}: the mean over texts of 1 - different n-grams / n-grams; 0 for a text shorter than `n`."""
    checks.at_least_one("n", n)
    figures = []
    for text in _words(predictions, tokenizer):
        grams = list(_grams(text, n))
        figures.append(1 - len(set(grams)) / len(grams) if grams else 0.0)
    return checks.means({"repetition": figures}, per_example)


def distinct_texts(predictions: Sequence[str], *, tokenizer: str = "unicode") -> dict[str, float]:
    """{"distinct_texts": 0 to 1}: the share of different texts among all; two with the same words are the same."""
    words = _words(predictions, tokenizer)
    return {"distinct_texts": len(set(map(tuple, words))) / len(words)}


def self_bleu(
    predictions: Sequence[str], *, order: int = 4, tokenizer: str = "unicode", per_example: bool = False
) -> dict[str, Any]:
    """{"self_bleu": 0 to 1}: 1 where every text stands there twice. `pooled_self_bleu` of one order.

    Time is linear in the words. Raises `DataError` for fewer than two texts.
    """
    found = pooled_self_bleu(predictions, orders=(order,), tokenizer=tokenizer, per_example=True)
    return checks.means({"self_bleu": found["per_example"][f"self_bleu{order}"]}, per_example)


def _words(predictions: Sequence[str], tokenizer: str) -> list[list[str]]:
    read = reader(tokenizer)
    return [read(text) for text in checks.only_texts(predictions)]


def _grams(words: list[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)
