"""A small classifier of harmful text: hashed n-grams of words and characters, and logistic regression.

    classifier = HarmClassifier.train(texts, labels)          # scikit-learn, here only
    classifier.save("harm")
    judge(text, HarmClassifier.load("harm"), threshold)       # NumPy alone; the rule is "harmful text"

    report = classifier.report(held_out, their_labels, GROUPS)
    print(report.table())

**Read before use.** Such a classifier knows the words of its training set, and who said them. Trained on the tweets of
Davidson et al. (2017) and asked about held-out ones that people found harmless, it flags 15 % of all at a probability
of 0.5, but 35 % of those with spellings of African-American English: removing what it flags removes the speech of
those very people (Sap et al. 2019; Dodge et al. 2021). The false-positive rate by group (Dixon et al. 2018) is
therefore a part of every report, not an option of it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trivium.data.quality.limits import KEEP, Verdict
from trivium.data.quality.perplexity import damaged, load_model, ngram_hashes, save_model, scramble
from trivium.errors import DataError, Unsupported

_FORMAT = "trivium-harm-1"
_BUCKETS = 1 << 18
_LONGEST_CHARACTER_NGRAM = 5
_PIECE_CHARACTERS = 400
"""A long text is judged in pieces of about the length that is learnt from."""
_BATCH_CHARACTERS = 1 << 17
"""So many characters are looked at together: it bounds the memory."""

_MENTION = re.compile(r"@\w+")
_ADDRESS = re.compile(r"https?://\S*")
_DIGIT = re.compile(r"\d")
_NOT_IN_WORDS = re.compile(r"[\W_]+")

GROUPS: Mapping[str, tuple[str, ...]] = {
    "religion": ("muslim", "muslims", "islam", "jew", "jews", "jewish", "christian", "christians", "catholic", "hindu"),
    "nationality": ("mexican", "mexicans", "chinese", "indian", "american", "americans", "african", "arab", "asian"),
    "colour": ("black", "white", "brown", "yellow"),
    "women": ("woman", "women", "girl", "girls", "female", "wife", "mother", "mom", "sister"),
    "men": ("man", "men", "boy", "boys", "male", "husband", "father", "dad", "brother"),
    "sexuality": ("gay", "gays", "lesbian", "queer", "bisexual", "trans", "transgender", "homosexual"),
    "disability": ("disabled", "blind", "deaf", "autistic", "wheelchair"),
    "age": ("old", "elderly", "young", "teen", "teens", "kid", "kids"),
    "African-American English": (
        "aint", "bout", "bruh", "cuz", "dat", "dem", "dis", "finna", "gon", "imma", "lil", "tryna", "wit", "yall", "yo",
    ),
}  # fmt: skip
"""Words that name groups, and spellings of one dialect (after Blodgett et al. 2016), none of them a slur."""


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
        harmful: Sequence[str] = ("hate", "offensive"),
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
        parts = [(rows + start, *rest) for start, batch in _batches(texts) for rows, *rest in [_features(batch)]]
        rows, buckets, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        frequency = np.bincount(buckets, minlength=_BUCKETS)
        rarity = (np.log((1 + len(texts)) / (1 + frequency)) + 1).astype(np.float32)
        values = counts * rarity[buckets]
        values /= np.sqrt(np.bincount(rows, values**2, minlength=len(texts)))[rows]
        matrix = csr_matrix((values, (rows, buckets)), shape=(len(texts), _BUCKETS))
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
        for start, batch in _batches(texts):
            rows, buckets, counts = _features(batch)
            norms = np.sqrt(np.bincount(rows, (counts * self.rarity[buckets]) ** 2, minlength=len(batch)))
            for label in range(len(self.labels)):
                scores = np.bincount(rows, counts * self.weights[buckets, label], minlength=len(batch))
                result[start : start + len(batch), label] = scores / np.maximum(norms, 1e-12) + self.bias[label]
        result = np.exp(result - result.max(axis=1, keepdims=True)) if len(texts) else result
        return result / result.sum(axis=1, keepdims=True)

    def harm(self, texts: Sequence[str]) -> np.ndarray:
        """[texts]: probability that each is harmful, each taken as one piece."""
        return self.probabilities(texts)[:, [self.labels.index(name) for name in self.harmful]].sum(axis=1)

    def probability(self, text: str) -> float:
        """Probability that the text is harmful: of a long one the mean over its pieces of about 400 characters, which
        is the share of it that is harmful. 0 for a text without a character."""
        found = self.harm(list(_pieces(text)))
        return float(found.mean()) if len(found) else 0.0

    def report(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        groups: Mapping[str, Sequence[str]] = GROUPS,
        *,
        threshold: float | None = None,
    ) -> "Report":
        """What the classifier does to labelled texts that it was not trained on, altogether and by group.

        ``threshold`` is where a text is flagged; None is the lowest with a precision of 90 % on these texts.

        Raises:
            DataError: no text is harmful, or none is harmless.
        """
        truth = np.array([label in self.harmful for label in labels])
        if len(texts) != len(labels) or truth.all() or not truth.any():
            raise DataError(
                "the classifier cannot be measured on these labels",
                received=f"{len(texts)} texts, {len(labels)} labels, {truth.sum()} of them harmful",
                expected="one label a text, harmful ones and harmless ones",
            )
        probabilities = self.probabilities(texts)
        scores = probabilities[:, [self.labels.index(name) for name in self.harmful]].sum(axis=1)
        if threshold is None:
            threshold = threshold_for(scores, truth, 0.9)
            threshold = 1.0 if threshold is None else threshold
        flagged = scores >= threshold
        members = {name: _naming(texts, terms) for name, terms in groups.items()}
        return Report(
            classes=_by_class(self.labels, probabilities, labels),
            threshold=threshold,
            overall=_group("all", np.ones(len(texts), dtype=bool), truth, flagged),
            groups=tuple(_group(name, member, truth, flagged) for name, member in members.items()),
            calibration=_calibration(scores, truth),
        )

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
        if (
            weights is None
            or bias is None
            or rarity is None
            or shapes
            != [
                (_BUCKETS, len(labels)),
                (len(labels),),
                (_BUCKETS,),
            ]
        ):
            raise damaged(folder, f"arrays of shapes {shapes}")
        return cls(labels=tuple(labels), harmful=tuple(harmful), weights=weights, bias=bias, rarity=rarity)


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """How well one label is told, each text having the likeliest."""

    label: str
    count: int
    """Texts that have it."""
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class GroupFigures:
    """What is flagged of the texts that name a group."""

    name: str
    texts: int
    flagged: int
    harmless: int
    """Texts that people found harmless."""
    wrongly_flagged: int
    """Harmless texts that are flagged all the same."""

    @property
    def false_positive_rate(self) -> float:
        """Share of the harmless that is flagged; NaN where there are none."""
        return self.wrongly_flagged / self.harmless if self.harmless else float("nan")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a classifier does to labelled texts."""

    classes: tuple[ClassFigures, ...]
    threshold: float
    """Probability of harm from which a text is flagged."""
    overall: GroupFigures
    """All texts."""
    groups: tuple[GroupFigures, ...]
    """Those that hold a word of the group."""
    calibration: tuple[tuple[float, float, int], ...]
    """By tenths of the probability of harm: its mean, the share that is harmful, and the number of texts."""

    @property
    def precision(self) -> float:
        """Share of the flagged that is harmful."""
        return 1 - self.overall.wrongly_flagged / self.overall.flagged if self.overall.flagged else float("nan")

    @property
    def recall(self) -> float:
        """Share of the harmful that is flagged."""
        return (self.overall.flagged - self.overall.wrongly_flagged) / (self.overall.texts - self.overall.harmless)

    def precision_at(self, harmful_share: float) -> float:
        """Precision on text of which this share is harmful, where harm and harmlessness look as they do here."""
        caught = self.recall * harmful_share
        wrong = self.overall.false_positive_rate * (1 - harmful_share)
        return caught / (caught + wrong) if caught + wrong else float("nan")

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: the mean gap between probability and share (Guo et al. 2017, section 2)."""
        return sum(abs(mean - share) * count for mean, share, count in self.calibration) / self.overall.texts

    @property
    def equality_difference(self) -> float:
        """Sum over the groups of the gap to the overall false-positive rate (Dixon et al. 2018)."""
        rates = [group.false_positive_rate for group in self.groups if group.harmless]
        return sum(abs(self.overall.false_positive_rate - rate) for rate in rates)

    def table(self) -> str:
        """All of it for people to read, with the warning that belongs to it."""
        lines = [f"{'label':<26}{'texts':>8}{'precision':>11}{'recall':>8}{'F1':>8}"]
        lines += [f"{c.label:<26}{c.count:>8}{c.precision:>11.3f}{c.recall:>8.3f}{c.f1:>8.3f}" for c in self.classes]
        lines += [
            f"flagged from {self.threshold:.3f}: precision {self.precision:.3f}, recall {self.recall:.3f}",
            f"precision where 1 % of the text is harmful: {self.precision_at(0.01):.3f}",
            f"calibration error {self.calibration_error:.3f}",
            f"{'names':<26}{'texts':>8}{'flagged':>11}{'harmless':>10}{'wrongly flagged':>17}",
        ]
        for group in (self.overall, *self.groups):
            wrong = f"{group.wrongly_flagged} ({group.false_positive_rate:.1%})" if group.harmless else "-"
            lines.append(f"{group.name:<26}{group.texts:>8}{group.flagged:>11}{group.harmless:>10}{wrong:>17}")
        return "\n".join([*lines, f"equality difference of false positives {self.equality_difference:.2f}", WARNING])


WARNING = (
    "WARNING: a group with a higher share of wrongly flagged text loses more of its own harmless speech than others.\n"
    "The labels carry the prejudices of those who gave them, so the true shares may be worse. Look before removing."
)


def threshold_for(scores: np.ndarray, truth: np.ndarray, precision: float) -> float | None:
    """The lowest threshold at which at least the share ``precision`` of what is flagged is true; None if there is none.
    Chosen on the texts that it is then reported on, it is somewhat flattered there."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order]) / np.arange(1, len(scores) + 1)
    last = np.append(scores[order][1:] != scores[order][:-1], True)  # equal scores are flagged together
    good = np.flatnonzero((found >= precision) & last)
    return float(scores[order][good[-1]]) if len(good) else None


def _by_class(names: Sequence[str], probabilities: np.ndarray, labels: Sequence[str]) -> tuple[ClassFigures, ...]:
    said = np.array(names)[probabilities.argmax(axis=1)]
    true = np.array(labels)
    figures = []
    for name in names:
        right, said_so, is_so = ((said == name) & (true == name)).sum(), (said == name).sum(), (true == name).sum()
        figures.append(
            ClassFigures(
                label=name,
                count=int(is_so),
                precision=float(right / max(said_so, 1)),
                recall=float(right / max(is_so, 1)),
                f1=float(2 * right / max(said_so + is_so, 1)),
            )
        )
    return tuple(figures)


def _group(name: str, member: np.ndarray, truth: np.ndarray, flagged: np.ndarray) -> GroupFigures:
    return GroupFigures(
        name=name,
        texts=int(member.sum()),
        flagged=int((member & flagged).sum()),
        harmless=int((member & ~truth).sum()),
        wrongly_flagged=int((member & ~truth & flagged).sum()),
    )


def _naming(texts: Sequence[str], terms: Sequence[str]) -> np.ndarray:
    wanted = set(terms)
    return np.array([not wanted.isdisjoint(_words(text)) for text in texts])


def _calibration(scores: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, float, int], ...]:
    tenth = np.minimum((scores * 10).astype(int), 9)
    cells = [tenth == number for number in range(10)]
    return tuple((float(scores[c].mean()), float(truth[c].mean()), int(c.sum())) for c in cells if c.any())


def _plain(text: str) -> str:
    """Lower case, names of people and addresses gone, digits 0, white space single."""
    text = _ADDRESS.sub("http", _MENTION.sub("@", text.casefold()))
    return " ".join(_DIGIT.sub("0", text).split())


def _words(text: str) -> list[str]:
    return _NOT_IN_WORDS.sub(" ", _plain(text).replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")).split()


def _features(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The n-grams of each text: row, bucket and 1 + ln(count). Of words one and two, of characters two to five."""
    codes, rows, place = _joined([f" {_plain(text)} " for text in texts])
    found = [
        (rows[place >= length - 1], hashes[place >= length - 1])
        for length, hashes in enumerate(ngram_hashes(codes, _LONGEST_CHARACTER_NGRAM), start=1)
        if length > 1
    ]
    codes, rows, place = _joined(["".join(f" {word}" for word in _words(text)) for text in texts])
    begins = np.flatnonzero(codes == ord(" "))
    if len(begins):
        # Each character with its place in the word, scrambled and added up: a hash of all words at once.
        inside = np.arange(len(codes)) - np.repeat(begins, np.diff(np.append(begins, len(codes))))
        words = scramble(np.add.reduceat(scramble(codes + (inside.astype(np.uint64) << np.uint64(32))), begins))
        pairs = scramble(words[:-1] * np.uint64(3) + words[1:])
        row = rows[begins]
        found += [(row, words), (row[1:][row[1:] == row[:-1]], pairs[row[1:] == row[:-1]])]
    buckets = np.concatenate([hashes for _, hashes in found]) >> np.uint64(64 - _BUCKETS.bit_length() + 1)
    keys = np.concatenate([row for row, _ in found]) * _BUCKETS + buckets.astype(np.int64)
    keys, counts = np.unique(keys, return_counts=True)
    return keys // _BUCKETS, keys % _BUCKETS, 1 + np.log(counts)


def _joined(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The characters of all texts, for each the number of its text and its place there."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    place = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return codes, np.repeat(np.arange(len(texts)), lengths), place


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """The texts in order, so many at once as have the characters of a batch, and the number of the first."""
    start = characters = 0
    for number, text in enumerate(texts):
        characters += len(text)
        if characters >= _BATCH_CHARACTERS or number == len(texts) - 1:
            yield start, texts[start : number + 1]
            start, characters = number + 1, 0


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = start + _PIECE_CHARACTERS
        if end < len(text):
            end = max(text.rfind(" ", start, end), start + _PIECE_CHARACTERS // 2)
        if piece := text[start:end].strip():
            yield piece
        start = end
