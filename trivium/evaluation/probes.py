"""What can be read off the layers of a model that was never taught it: linear probes.

probed = probe_texts(model, tokenizer, train, held_out)            # [(text, label)]: polarity, acceptability
probed = probe_words(model, tokenizer, train, held_out, outside="O")    # [(words, tags)]: entities, parts of speech

The model is frozen; at each layer a logistic regression learns the labels from its vectors alone (Alain and Bengio
2017; for words Tenney et al. 2019). How high a probe's accuracy is says little by itself: beside it stand that of the
most frequent label and, for words, that of a control task, which has nothing to do with language: every kind of word
has a label of chance, and to learn it a probe must know words by heart (Hewitt and Liang 2019). What a probe has above
the control is its selectivity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.tagged import read_words
from trivium.errors import DataError
from trivium.evaluation.intervals import Interval, bootstrap
from trivium.evaluation.layers import Layer, text_vectors, word_vectors
from trivium.evaluation.logistic import fit_logistic
from trivium.nn.classification_head import Pooling
from trivium.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How much of the labels one layer tells, on examples that the probe has not seen."""

    layer: Layer
    accuracy: Interval
    """Share of texts or words with the right label; 95 %, over other texts of the kind."""
    f1: Interval
    """Of labels that mark something, counted together (micro), where one label marks nothing ("O"); else the mean over
    the labels (macro)."""
    control: float | None
    """Accuracy of the control task; None for texts, which have no kinds."""
    control_f1: float | None
    """F1 of the control task. Where one label is nearly all of them it says more than the accuracy, which is high for
    the control task too."""
    gradient: float
    """How still the fit stood at its end: below 1e-5 it has converged."""

    @property
    def selectivity(self) -> float | None:
        """Accuracy less that of the control task."""
        return None if self.control is None else self.accuracy.estimate - self.control


@dataclass(frozen=True, kw_only=True)
class Probed:
    """A probe at every layer of a model, from the lowest up; of an encoder-decoder the encoder first."""

    probes: Sequence[Probe]
    labels: Sequence[str]
    """Those that were learnt, sorted."""
    majority: float
    """Held-out accuracy of always saying the most frequent label of the training examples."""
    learnt: int
    """Texts or words that the probes learnt from."""
    held_out: int
    """Texts or words that they were measured on."""

    @property
    def best(self) -> Probe:
        """The probe of highest accuracy; of equal ones the lowest."""
        return max(self.probes, key=lambda probe: probe.accuracy.estimate)


def probe_texts(
    model: nn.Module,
    tokenizer: Tokenizer,
    train: Sequence[tuple[str, str]],
    held_out: Sequence[tuple[str, str]],
    *,
    pooling: Pooling = "mean",
    longest: int | None = None,
    start_id: int | None = None,
    l2: float = 0.01,
    told: Callable[[], None] = lambda: None,
) -> Probed:
    """Probes of (text, label).

    Args:
        model: of an encoder-decoder both stacks are probed; then ``start_id`` is what its decoder begins with.
        tokenizer: the model's.
        train: what the probes learn from.
        held_out: what they are measured on.
        pooling: one vector of a text's positions; "last" suits models that read left to right.
        longest: ids that a text is cut to.
        start_id: see ``model``.
        l2: strength of the regularisation, see `trivium.evaluation.logistic.fit_logistic`.
        told: is called whenever a layer is done.

    Raises:
        DataError: a held-out label is none of the training's, or there are fewer than two labels or held-out texts.
    """
    task = _task([label for _, label in train], [label for _, label in held_out], range(len(held_out)), None)
    joined = tokenizer.encode_joined([text for text, _ in (*train, *held_out)], longest)
    vectors = text_vectors(model, [each.ids for each in joined], pooling=pooling, start_id=start_id)
    return _probed(vectors, task, None, l2, told)


def probe_words(
    model: nn.Module,
    tokenizer: Tokenizer,
    train: Sequence[tuple[Sequence[str], Sequence[str]]],
    held_out: Sequence[tuple[Sequence[str], Sequence[str]]],
    *,
    outside: str | None = None,
    longest: int | None = None,
    start_id: int | None = None,
    l2: float = 0.01,
    seed: int = 0,
    told: Callable[[], None] = lambda: None,
) -> Probed:
    """Probes of (words, their tags), each word read at its first piece.

    ``outside`` is the tag that marks nothing, "O" of entities; ``seed`` is that of the control task. A sentence of more
    than ``longest`` ids is read in several stretches. The rest, and what is raised, as `probe_texts`.
    """
    tags = [[tag for _, of_sentence in side for tag in of_sentence] for side in (train, held_out)]
    owners = [number for number, (words, _) in enumerate(held_out) for _ in words]
    task = _task(*tags, owners, outside)
    sentences = [words for words, _ in (*train, *held_out)]
    words = [word for sentence in sentences for word in sentence]
    if len(words) != len(tags[0]) + len(tags[1]):
        raise DataError("every word has one tag", received=f"{len(words)} words, {len(tags[0]) + len(tags[1])} tags")
    vectors = word_vectors(model, read_words(tokenizer, sentences, longest=longest), start_id=start_id)
    return _probed(vectors, task, _control(words, task, seed), l2, told)


# The fits -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Task:
    """Labels as numbers."""

    labels: list[str]
    train: Int[Tensor, "N"]
    held_out: Int[Tensor, "M"]
    owners: np.ndarray
    """[M]: which text each held-out label is of, counted from 0."""
    outside: int | None


def _task(train: Sequence[str], held_out: Sequence[str], owners: Sequence[int], outside: str | None) -> _Task:
    labels = sorted(set(train))
    unknown = sorted(set(held_out) - set(labels))
    if unknown:
        raise DataError("a label is not among those to learn from", received=unknown[0], expected=", ".join(labels))
    if len(labels) < 2 or len(set(owners)) < 2:
        raise DataError(
            "there is too little to probe",
            received=f"{len(labels)} labels, {len(set(owners))} held-out texts",
            expected="two of each, or more",
        )
    number = {label: index for index, label in enumerate(labels)}
    return _Task(
        labels=labels,
        train=torch.tensor([number[label] for label in train]),
        held_out=torch.tensor([number[label] for label in held_out]),
        owners=np.unique(owners, return_inverse=True)[1],
        outside=None if outside is None else number.get(outside),
    )


def _control(words: Sequence[str], task: _Task, seed: int) -> _Task:
    """A class of chance for every kind of word, drawn as the training words have theirs (section 2 of the paper)."""
    kinds = sorted(set(words))
    drawn = np.random.default_rng(seed).choice(task.train.numpy(), len(kinds))
    class_of = dict(zip(kinds, drawn.tolist(), strict=True))
    classes = torch.tensor([class_of[word] for word in words])
    return replace(task, train=classes[: len(task.train)], held_out=classes[len(task.train) :])


def _probed(
    vectors: dict[Layer, Tensor], task: _Task, control: _Task | None, l2: float, told: Callable[[], None]
) -> Probed:
    commonest = int(torch.bincount(task.train).argmax())
    probes = []
    for layer, each in vectors.items():
        probes.append(_probe(layer, each, task, control, l2))
        told()
    return Probed(
        probes=probes,
        labels=task.labels,
        majority=float((task.held_out == commonest).double().mean()),
        learnt=len(task.train),
        held_out=len(task.held_out),
    )


def _probe(layer: Layer, vectors: Float[Tensor, "N D"], task: _Task, control: _Task | None, l2: float) -> Probe:
    learnt, unseen = vectors[: len(task.train)], vectors[len(task.train) :]
    fit = fit_logistic(learnt, task.train, len(task.labels), l2=l2)
    given = fit.predict(unseen)
    by_text = _counts(given, task)
    of_control = (None, None) if control is None else _control_figures(learnt, unseen, control, l2)
    return Probe(
        layer=layer,
        accuracy=bootstrap(by_text[:, :2], lambda sums: sums[..., 0] / sums[..., 1]),
        f1=bootstrap(by_text[:, 2:], lambda sums: _f1(sums, len(task.labels), task.outside)),
        control=of_control[0],
        control_f1=of_control[1],
        gradient=fit.gradient,
    )


def _control_figures(learnt: Tensor, unseen: Tensor, control: _Task, l2: float) -> tuple[float, float]:
    """Accuracy and F1."""
    fit = fit_logistic(learnt, control.train, len(control.labels), l2=l2)
    sums = _counts(fit.predict(unseen), control).sum(0)
    return float(sums[0] / sums[1]), float(_f1(sums[2:], len(control.labels), control.outside))


def _counts(given: Tensor, task: _Task) -> np.ndarray:
    """For each held-out text how many labels are right and how many there are; then for each label in turn how often it
    was rightly given, given, and true."""
    texts, labels = int(task.owners.max()) + 1, len(task.labels)
    guess, truth = given.numpy(), task.held_out.numpy()
    counts = np.zeros((texts, 2 + 3 * labels))
    right = guess == truth
    counts[:, 0] = np.bincount(task.owners, weights=right)
    counts[:, 1] = np.bincount(task.owners)
    np.add.at(counts, (task.owners[right], 2 + 3 * truth[right]), 1)
    np.add.at(counts, (task.owners, 3 + 3 * guess), 1)
    np.add.at(counts, (task.owners, 4 + 3 * truth), 1)
    return counts


def _f1(sums: np.ndarray, labels: int, outside: int | None) -> np.ndarray:
    """From sums [..., 3 labels] of (hits, given, true): macro over all, or micro over all but ``outside``."""
    counts = sums.reshape(*sums.shape[:-1], labels, 3)
    if outside is not None:
        counts = np.delete(counts, outside, axis=-2).sum(-2, keepdims=True)
    hits, both = counts[..., 0], counts[..., 1] + counts[..., 2]
    return np.asarray(np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0).mean(-1))
