"""ROUGE-L (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3.1).

With L the longest common subsequence of the words of a summary (n words) and of its reference (m words), recall is
L / m, precision L / n, and the score their harmonic mean (beta = 1, as is usual now; the paper weighs recall). Words
are runs of letters and digits in lower case, without stemming.
"""

import re
from collections.abc import Sequence

_WORD = re.compile(r"[a-z0-9]+")


def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """{"rougeL": ...}: the mean over all pairs, in per cent. An empty text scores 0."""
    assert len(predictions) == len(references), "one reference a prediction"
    scores = [rouge_l(*pair) for pair in zip(predictions, references, strict=True)]
    return {"rougeL": 100 * sum(scores) / max(len(scores), 1)}


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L of one pair, 0 to 1."""
    written, wanted = _WORD.findall(prediction.lower()), _WORD.findall(reference.lower())
    common = longest_common_subsequence(written, wanted)
    return 2 * common / (len(written) + len(wanted)) if common else 0.0


def most_typical(texts: Sequence[str]) -> str:
    """The one of `texts` that has the highest ROUGE-L with all of them together; of equals the first."""
    return max(texts, key=lambda text: sum(rouge_l(text, other) for other in texts))


def longest_common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Its length. Bit-parallel (Hyyrö 2004, "Bit-Parallel LCS-length Computation Revisited", figure 2).

    One row of the table of the textbook algorithm is one number, in which a zero marks a place where the length grows.
    """
    places: dict[str, int] = {}
    for index, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << index
    whole = (1 << len(left)) - 1
    row = whole
    for word in right:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & whole
    return len(left) - row.bit_count()
