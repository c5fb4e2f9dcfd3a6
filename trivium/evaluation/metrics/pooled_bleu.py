"""BLEU of generated texts that all have the same references: a whole test set, or all the other generated texts.

The first is the "test BLEU" of the work on text GANs, a figure of quality; the second is Self-BLEU, high where texts
are alike (Zhu et al. 2018, "Texygen", section 3). Both are the mean over texts of NLTK's `sentence_bleu` with smoothing
method 1 of Chen and Cherry 2014: an order without a match counts as 0.1 matches, a text without a match of one word is
worth 0, and the brevity penalty takes the reference nearest in length, of equally near the shorter. Every reference
counts: Texygen's own code takes the first 500 and TextGAN-PyTorch scores 200 texts, so their figures are others.

With references in common, "the most that any reference has of this n-gram" is looked up once an n-gram and not once a
text, and of all the other texts it is known from the two that have it most often: nothing is compared pair by pair.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trivium.errors import DataError
from trivium.evaluation.metrics import checks
from trivium.evaluation.metrics.words import reader

ORDERS = (2, 3, 4, 5)
"""Longest n-grams of the four figures that papers give."""
NOTHING = 0.1  # matches that an order without a match is given


def pooled_bleu(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    orders: Sequence[int] = ORDERS,
    tokenizer: str = "whitespace",
    per_example: bool = False,
) -> dict[str, Any]:
    """{"bleu2", ..., "bleu5"}: 0 to 1, the mean over `predictions`, for each of which all `references` count.

    The figures rise with the number of references: compare none that were made with others. Words are those of
    `words.TOKENIZERS`; the usual sets are words with spaces between them already. Raises `DataError` where there are
    no texts of either kind, or an order is below 1.
    """
    written, real = checks.only_texts(predictions), checks.only_texts(references)
    read = reader(tokenizer)
    words = [read(text) for text in [*written, *real]]
    own = len(written)
    lengths = np.array([len(text) for text in words])
    matched = np.zeros((own, _longest(orders)))
    for order, (text, gram, count) in enumerate(_counted(words, matched.shape[1])):
        mine = text < own
        most = np.zeros(gram.max(initial=-1) + 1, dtype=np.int64)
        np.maximum.at(most, gram[~mine], count[~mine])
        hits = np.minimum(count[mine], most[gram[mine]])
        matched[:, order] = np.bincount(text[mine], hits, minlength=own)
    nearest = _nearest(np.sort(lengths[own:]), lengths[:own])
    return _figures("bleu", orders, lengths[:own], nearest, matched, per_example)


def pooled_self_bleu(
    predictions: Sequence[str],
    *,
    orders: Sequence[int] = ORDERS,
    tokenizer: str = "whitespace",
    per_example: bool = False,
) -> dict[str, Any]:
    """{"self_bleu2", ..., "self_bleu5"}: 0 to 1, the mean over texts of the BLEU of each against all the others.

    1 where every text stands there twice. Raises `DataError` for fewer than two texts, or an order below 1.
    """
    read = reader(tokenizer)
    words = [read(text) for text in checks.only_texts(predictions)]
    if len(words) < 2:
        raise DataError("Self-BLEU compares texts with each other", received="1 text", expected="2 or more")
    lengths = np.array([len(text) for text in words])
    matched = np.zeros((len(words), _longest(orders)))
    for order, (text, gram, count) in enumerate(_counted(words, matched.shape[1])):
        most = _most_of_others(text, gram, count)
        matched[:, order] = np.bincount(text, np.minimum(count, most), minlength=len(words))
    return _figures("self_bleu", orders, lengths, _nearest_other(lengths), matched, per_example)


def _counted(words: list[list[str]], longest: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For n = 1, 2, ...: of each text and each n-gram in it the text, the n-gram's number, and how often it is there.

    An (n + 1)-gram is an n-gram and the word behind it, so that a pair of numbers stands for it, whatever n is.
    """
    numbers: dict[str, int] = {}
    word = np.array([numbers.setdefault(each, len(numbers)) for text in words for each in text], dtype=np.int64)
    lengths = np.array([len(text) for text in words])
    text, end = (np.repeat(values, lengths) for values in (np.arange(len(words)), lengths.cumsum()))
    start, gram = np.arange(len(word)), word
    for n in range(1, longest + 1):
        if n > 1:
            inside = start + n <= end[start]
            start = start[inside]
            _, gram = np.unique(gram[inside] * len(numbers) + word[start + n - 1], return_inverse=True)
        kinds = gram.max(initial=0) + 1
        both, count = np.unique(text[start] * kinds + gram, return_counts=True)
        yield both // kinds, both % kinds, count


def _most_of_others(text: np.ndarray, gram: np.ndarray, count: np.ndarray) -> np.ndarray:
    """For each text and n-gram in it the most that any other text has of it."""
    order = np.lexsort((-count, gram))
    ranked, counts = gram[order], count[order]
    first = np.flatnonzero(np.diff(ranked, prepend=-1))
    group = np.repeat(np.arange(len(first)), np.diff(first, append=len(ranked)))
    behind = np.minimum(first + 1, len(ranked) - 1)
    second = np.where((behind > first) & (ranked[behind] == ranked[first]), counts[behind], 0)
    most = counts[first][group]
    most[first] = second  # the text that has it most often is not among its own references
    unsorted = np.empty_like(most)
    unsorted[order] = most
    return unsorted


def _figures(
    name: str,
    orders: Sequence[int],
    written: np.ndarray,
    reference: np.ndarray,
    matched: np.ndarray,
    per_example: bool,
) -> dict[str, Any]:
    """BLEU of each order from lengths [N], those of the nearest references [N] and matches [N, longest order]."""
    # An order for which a text is too short has one place and no match.
    places = np.maximum(written[:, None] - np.arange(matched.shape[1]), 1)
    logs = np.log(np.where(matched > 0, matched, NOTHING) / places)
    brevity = np.minimum(0.0, 1 - reference / np.maximum(written, 1))
    figures = {}
    for order in orders:
        values = np.where(matched[:, 0] > 0, np.exp(brevity + logs[:, :order].mean(1)), 0.0)
        figures[f"{name}{order}"] = values.tolist()
    return checks.means(figures, per_example)


def _nearest(ordered: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Of the lengths `ordered` the nearest to each of `lengths`, of equally near the shorter."""
    place = np.searchsorted(ordered, lengths)
    return _nearer(lengths, ordered[np.maximum(place - 1, 0)], ordered[np.minimum(place, len(ordered) - 1)])


def _nearest_other(lengths: np.ndarray) -> np.ndarray:
    """Likewise, each text's own length left out once."""
    ordered = np.sort(lengths)
    place, last = np.searchsorted(ordered, lengths), len(ordered) - 1
    below, above = place - 1, place + 1
    return _nearer(
        lengths,
        ordered[np.where(below < 0, np.minimum(above, last), below)],
        ordered[np.where(above > last, np.maximum(below, 0), above)],
    )


def _nearer(lengths: np.ndarray, below: np.ndarray, above: np.ndarray) -> np.ndarray:
    return np.where(abs(below - lengths) <= abs(above - lengths), below, above)


def _longest(orders: Sequence[int]) -> int:
    for order in orders:
        checks.at_least_one("order", order)
    if not orders:
        raise DataError("BLEU has an order", received="none", expected="one or more, such as 2, 3, 4, 5")
    return max(orders)
