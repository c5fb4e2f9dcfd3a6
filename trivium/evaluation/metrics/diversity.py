"""How much a set of texts repeats itself: distinct-n, Self-BLEU, and repetition within a text.

distinct-n (Li et al. 2016, "A Diversity-Promoting Objective Function", section 4.3) is the share of different n-grams
among all n-grams of the set; it falls as a set grows, so compare sets of one size. Self-BLEU (Zhu et al. 2018,
"Texygen", section 3.3) is the mean BLEU of each text against all the others as references. Repetition (Welleck et al.
2020, "Neural Text Generation with Unlikelihood Training", section 6.1, seq-rep-n) is the share of n-grams of a text
that stood in it before. Words are those of `words.TOKENIZERS`.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from trivium.errors import DataError
from trivium.evaluation.metrics import checks
from trivium.evaluation.metrics.words import reader

NOTHING = 0.1  # matches that an order without a match is given: method 1 of Chen and Cherry 2014, as in Texygen


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


def self_bleu(
    predictions: Sequence[str], *, order: int = 4, tokenizer: str = "unicode", per_example: bool = False
) -> dict[str, Any]:
    """{"self_bleu": 0 to 1}: 1 where every text stands there twice. Equal to NLTK's `sentence_bleu` with method 1.

    All texts are read once: of each n-gram the two texts that have it most often are kept, so that "the most of all
    others" is known for every text. Time is linear in the words. Raises `DataError` for fewer than two texts.
    """
    checks.at_least_one("order", order)
    words = _words(predictions, tokenizer)
    if len(words) < 2:
        raise DataError("Self-BLEU compares texts with each other", received="1 text", expected="2 or more")
    matches = [[0] * order for _ in words]
    for length in range(1, order + 1):
        grams = [Counter(_grams(text, length)) for text in words]
        most = _two_most(grams)
        for index, counts in enumerate(grams):
            matches[index][length - 1] = sum(
                min(count, most[gram][2] if most[gram][1] == index else most[gram][0]) for gram, count in counts.items()
            )
    lengths = sorted(map(len, words))
    figures = [
        _bleu(len(text), _nearest_other(lengths, len(text)), matched)
        for text, matched in zip(words, matches, strict=True)
    ]
    return checks.means({"self_bleu": figures}, per_example)


def _two_most(grams: list[Counter]) -> dict[tuple, tuple[int, int, int]]:
    """Of each n-gram the most that a text has of it, which text that is, and the most that any other has."""
    most: dict[tuple, tuple[int, int, int]] = {}
    for index, counts in enumerate(grams):
        for gram, count in counts.items():
            best, holder, second = most.get(gram, (0, -1, 0))
            most[gram] = (count, index, best) if count > best else (best, holder, max(second, count))
    return most


def _bleu(written: int, reference: int, matched: list[int]) -> float:
    if not matched[0]:
        return 0.0
    # An order for which a text is too short has one place and no match.
    logs = [math.log((hits or NOTHING) / max(written - n, 1)) for n, hits in enumerate(matched)]
    return math.exp(min(0.0, 1 - reference / written) + sum(logs) / len(logs))


def _nearest_other(ordered: list[int], length: int) -> int:
    """Of the lengths without one such `length` the nearest, of equally near the shorter."""
    place = bisect_left(ordered, length)
    below, above = ordered[place - 1 : place], ordered[place + 1 : place + 2]
    return min([*below, *above], key=lambda other: (abs(other - length), other))


def _words(predictions: Sequence[str], tokenizer: str) -> list[list[str]]:
    read = reader(tokenizer)
    return [read(text) for text in checks.only_texts(predictions)]


def _grams(words: list[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)
