"""ROUGE: how much of the reference's words, pairs of words and order of words a text has.

Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries". ROUGE-N (section 2) counts common n-grams, clipped;
ROUGE-L (section 3.1) is the longest common subsequence; ROUGE-Lsum (section 3.2) unites, for each sentence of the
reference, its longest common subsequences with all sentences of the prediction, and counts no word more often than both
texts have it. Precision is by the words of the prediction, recall by those of the reference, F their harmonic mean
(beta = 1, as is usual now; the paper weighs recall).

With `tokenizer="rouge_score"` the figures are those of the rouge-score package. Three choices move ROUGE by more than
most systems differ: the tokenizer, the stemmer, and where sentences end. All three are options with plain defaults.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trivium.evaluation.metrics import checks
from trivium.evaluation.metrics.lcs import lcs_length, lcs_positions, places
from trivium.evaluation.metrics.words import Reader, reader, sentences

KINDS = (*(f"rouge{n}" for n in range(1, 10)), "rougeL", "rougeLsum")
SPLITS = ("newline", "sentences")


def rouge(
    predictions: Sequence[str],
    references: checks.References,
    *,
    kinds: Sequence[str] = ("rouge1", "rouge2", "rougeL", "rougeLsum"),
    tokenizer: str = "unicode",
    stemmer: bool = False,
    split: str = "newline",
    per_example: bool = False,
) -> dict[str, Any]:
    """{"rouge1": F, "rouge1_precision": ..., "rouge1_recall": ..., ...}: means over the examples, 0 to 1.

    Of several references each kind takes the one with the best F. `tokenizer` is "unicode", "rouge_score" or
    "whitespace" (`words`); `stemmer` cuts the endings of English words; `split` says what ends a sentence for Lsum: a
    "newline", or the marks of "sentences" as well. A text without words scores 0. `per_example` adds the figures of
    each example under that name. Raises `DataError` for unequal counts, nothing to score, and unknown options.
    """
    checks.choose("way to split sentences", split, SPLITS)
    for kind in kinds:
        checks.choose("kind of ROUGE", kind, KINDS)
    read = reader(tokenizer, stemmer=stemmer)
    figures: dict[str, list[float]] = {f"{kind}{part}": [] for kind in kinds for part in ("", "_precision", "_recall")}
    for prediction, accepted in checks.texts(predictions, references):
        written = _Text(prediction, read, split)
        wanted = [_Text(text, read, split) for text in accepted]
        for kind in kinds:
            best = max((_score(kind, written, text) for text in wanted), key=lambda score: score.f)
            figures[kind].append(best.f)
            figures[f"{kind}_precision"].append(best.precision)
            figures[f"{kind}_recall"].append(best.recall)
    return checks.means(figures, per_example)


def rouge_l(prediction: str, reference: str) -> float:
    """F of ROUGE-L of one pair, 0 to 1, with the default tokenizer."""
    read = reader()
    return _rouge_l(read(prediction), read(reference)).f


def most_typical(texts: Sequence[str]) -> str:
    """The one of `texts` that has the highest ROUGE-L with all of them together; of equals the first."""
    words = [reader()(text) for text in texts]
    likeness = [sum(_rouge_l(mine, other).f for other in words) for mine in words]
    return texts[likeness.index(max(likeness))]


@dataclass(frozen=True, kw_only=True)
class _Score:
    precision: float
    recall: float

    @property
    def f(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @classmethod
    def of(cls, hits: int, written: int, wanted: int) -> "_Score":
        return cls(precision=hits / max(written, 1), recall=hits / max(wanted, 1))


class _Text:
    """The words of a text, and those of its sentences, for which ROUGE-Lsum alone asks."""

    def __init__(self, text: str, read: Reader, split: str):
        self._text, self._read, self._split = text, read, split
        self.words = read(text)

    @functools.cached_property
    def sentences(self) -> list[list[str]]:
        parts = sentences(self._text) if self._split == "sentences" else self._text.split("\n")
        return [self._read(part) for part in parts] if len(parts) > 1 else [self.words]


def _score(kind: str, written: _Text, wanted: _Text) -> _Score:
    if kind == "rougeL":
        return _rouge_l(written.words, wanted.words)
    if kind == "rougeLsum":
        return _rouge_lsum(written.sentences, wanted.sentences)
    return _rouge_n(written.words, wanted.words, int(kind.removeprefix("rouge")))


def _rouge_n(written: list[str], wanted: list[str], n: int) -> _Score:
    counts = [Counter(zip(*(words[start:] for start in range(n)), strict=False)) for words in (written, wanted)]
    return _Score.of((counts[0] & counts[1]).total(), counts[0].total(), counts[1].total())


def _rouge_l(written: list[str], wanted: list[str]) -> _Score:
    return _Score.of(lcs_length(wanted, written), len(written), len(wanted))


def _rouge_lsum(written: list[list[str]], wanted: list[list[str]]) -> _Score:
    if len(written) == len(wanted) == 1:
        return _rouge_l(written[0], wanted[0])
    available = Counter(word for sentence in written for word in sentence)
    candidates = [(places(sentence), len(sentence)) for sentence in written]
    hits = 0
    for sentence in wanted:
        united = {index for there, length in candidates for index in lcs_positions(sentence, there, length)}
        # As ROUGE-1.5.5 does, and the paper does not: no word is a hit more often than the prediction has it. The
        # union holds a position of the reference once, so the reference needs no such limit.
        for word, times in Counter(sentence[index] for index in united).items():
            counted = min(times, available[word])
            available[word] -= counted
            hits += counted
    return _Score.of(hits, sum(map(len, written)), sum(map(len, wanted)))
