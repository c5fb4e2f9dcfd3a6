"""A small classifier of harmful text: hashed n-grams of words and characters, and logistic regression.

    classifier = HarmClassifier.train(texts, labels)          # scikit-learn, here only
    classifier.save("harm")
    judge(text, HarmClassifier.load("harm"), threshold)       # NumPy alone; the rule is "harmful text"

**Read `harm_report` before use.** Such a classifier knows the words of its training set, and who said them. It is made
by `trivium filters --kind harm`, which measures on held-out texts whom it silences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trivium.data.quality.harm_features import BUCKETS, batches, features
from trivium.data.quality.limits import KEEP, Verdict
from trivium.data.quality.model_folder import damaged, load_model, save_model
from trivium.errors import DataError, Unsupported

HARMFUL = ("hate", "offensive")
"""The labels that count as harmful where nothing else is said: those of Davidson et al. (2017)."""

_FORMAT = "trivium-harm-1"
_PIECE_CHARACTERS = 400
"""A long text is judged in pieces of about the length that is learnt from."""


def judge(text: str, classifier: "HarmClassifier", threshold: float) -> Verdict:
    """Keeps a text whose probability of harm is below ``threshold``.

    Trained on tweets of which 83 % are harmful, a precision of 90 % there is reached at 0.11, which flags more than
    half of the harmless ones. Where harm is rare 0.8 is a better beginning: it flags none of 300 pages of the web and
    of 708 of an encyclopaedia, and 93 % of the harmful tweets (`benchmarks/harm.py`).
    """
    probability = classifier.probability(text)
    return KEEP if probability < threshold else Verdict(rule="harmful text", detail=f"probability {probability:.2f}")


@dataclass(frozen=True, kw_only=True)
class HarmClassifier:
    """Logistic regression on hashed n-grams. Made by `train` or `load`."""

    labels: tuple[str, ...]
    """The classes, in the order of the weights."""
    harmful: tuple[str, ...]
    """Which of them count as harmful."""
    weights: np.ndarray
    """float32 [buckets, labels]: of each n-gram, already times its rarity."""
    bias: np.ndarray
    """float32 [labels]."""
    rarity: np.ndarray
    """float32 [buckets]: ln((1 + texts) / (1 + texts with the n-gram)) + 1."""

    @classmethod
    def train(
        cls,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        harmful: Sequence[str] = HARMFUL,
        inverse_regularisation: float = 10.0,
    ) -> "HarmClassifier":
        """Fits the weights to labelled texts, with the frequencies of the labels as they are: probabilities then
        hold for text in which harm is as frequent as here, and are too high where it is rarer.

        Raises:
            DataError: texts and labels differ in number, or there are fewer than two labels, or no harmful one.
            Unsupported: scikit-learn is not installed.
        """
        try:
            from scipy.sparse import csr_matrix
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise Unsupported(
                "training the classifier needs scikit-learn", fix='pip install "trivium-lm[data]"'
            ) from error
        names = sorted(set(labels))
        if len(texts) != len(labels) or len(names) < 2 or not set(harmful) & set(names):
            raise DataError(
                "the classifier cannot be trained on these labels",
                received=f"{len(texts)} texts, {len(labels)} labels: {', '.join(names[:9])}",
                expected=f"one label a text, at least two kinds, among them {' or '.join(harmful)}",
            )
        parts = [(rows + start, *rest) for start, batch in batches(texts) for rows, *rest in [features(batch)]]
        rows, buckets, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        frequency = np.bincount(buckets, minlength=BUCKETS)
        rarity = (np.log((1 + len(texts)) / (1 + frequency)) + 1).astype(np.float32)
        values = counts * rarity[buckets]
        values /= np.sqrt(np.bincount(rows, values**2, minlength=len(texts)))[rows]
        matrix = csr_matrix((values, (rows, buckets)), shape=(len(texts), BUCKETS))
        fitted = LogisticRegression(C=inverse_regularisation, max_iter=200, tol=1e-3).fit(matrix, list(labels))
        # Of two labels scikit-learn gives one row, the log-odds of the second: a softmax over 0 and it is the same.
        weights, bias = (np.vstack([0 * a, a]) if len(names) == 2 else a for a in (fitted.coef_, fitted.intercept_))
        return cls(
            labels=tuple(names),
            harmful=tuple(name for name in names if name in harmful),
            weights=np.ascontiguousarray(weights.T * rarity[:, None], dtype=np.float32),
            bias=bias.ravel().astype(np.float32),
            rarity=rarity,
        )

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, labels]: probability of each label, each text taken as one piece, whatever its length."""
        result = np.empty((len(texts), len(self.labels)))
        for start, batch in batches(texts):
            rows, buckets, counts = features(batch)
            norms = np.sqrt(np.bincount(rows, (counts * self.rarity[buckets]) ** 2, minlength=len(batch)))
            for label in range(len(self.labels)):
                scores = np.bincount(rows, counts * self.weights[buckets, label], minlength=len(batch))
                result[start : start + len(batch), label] = scores / np.maximum(norms, 1e-12) + self.bias[label]
        result = np.exp(result - result.max(axis=1, keepdims=True)) if len(texts) else result
        return result / result.sum(axis=1, keepdims=True)

    def harm(self, texts: Sequence[str]) -> np.ndarray:
        """[texts]: probability that each is harmful: of a long one the mean over its pieces of about 400 characters,
        which is the share of it that is harmful. 0 for a text without a character."""
        pieces = [list(_pieces(text)) for text in texts]
        counts = np.array([len(found) for found in pieces], dtype=np.int64)
        columns = [self.labels.index(name) for name in self.harmful]
        found = self.probabilities([piece for each in pieces for piece in each])[:, columns].sum(axis=1)
        sums = np.bincount(np.repeat(np.arange(len(texts)), counts), found, minlength=len(texts))
        return sums / np.maximum(counts, 1)

    def probability(self, text: str) -> float:
        """`harm` of one text."""
        return float(self.harm([text])[0])

    def save(self, folder: str | Path) -> None:
        """Writes `model.safetensors` and `model.json` into the folder, which is made."""
        about = {"format": _FORMAT, "labels": list(self.labels), "harmful": list(self.harmful)}
        save_model(folder, about, {"weights": self.weights, "bias": self.bias, "rarity": self.rarity})

    @classmethod
    def load(cls, folder: str | Path) -> "HarmClassifier":
        """The classifier that `save` wrote.

        Raises:
            DataError: the folder does not hold one, or it is damaged.
        """
        about, tensors = load_model(folder, _FORMAT)
        weights, bias, rarity = (tensors.get(name) for name in ("weights", "bias", "rarity"))
        labels, harmful = about.get("labels"), about.get("harmful")
        if not isinstance(labels, list) or not isinstance(harmful, list) or not set(harmful) <= set(labels):
            raise damaged(folder, "its labels are missing")
        shapes = [None if array is None else array.shape for array in (weights, bias, rarity)]
        if shapes != [(BUCKETS, len(labels)), (len(labels),), (BUCKETS,)]:
            raise damaged(folder, f"arrays of shapes {shapes}")
        assert weights is not None and bias is not None and rarity is not None, "they have shapes"
        return cls(labels=tuple(labels), harmful=tuple(harmful), weights=weights, bias=bias, rarity=rarity)


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = start + _PIECE_CHARACTERS
        if end < len(text):
            end = max(text.rfind(" ", start, end), start + _PIECE_CHARACTERS // 2)
        if piece := text[start:end].strip():
            yield piece
        start = end
