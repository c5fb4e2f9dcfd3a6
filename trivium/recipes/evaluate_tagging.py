"""How many entities a model finds, and how many of those that it finds are there; or how many words it tags rightly."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trivium.data.conll import TaggedFile, TaggedSentence
from trivium.data.spans import Scheme, scheme_of
from trivium.errors import DataError
from trivium.evaluation import metrics
from trivium.evaluation.intervals import bootstrap
from trivium.evaluation.metrics.entity_f1 import entity_counts, f1_of
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Span
from trivium.runtime.progress import bar

_AT_ONCE = 256
_ENTITY_FIGURES = ("precision", "recall", "f1", "f1_macro")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tagged:
    """One sentence with the tags it should have."""

    words: list[str]
    """Its words."""
    target: list[str]
    """Their tags in the data."""
    tags: list[str]
    """What the model says."""
    spans: list[Span]
    """What that marks, in the words with a space between each two."""


def evaluate_tagging(
    model: LocalModel, file: TaggedFile, path: Path, *, limit: int | None = None, silent: bool = True
) -> tuple[dict[str, Any], list[Tagged]]:
    """`{"task", "metrics", "intervals", "count", "settings"}` and the tags of each sentence; `count` is of sentences.

    Where tags mark spans, strict precision, recall and F1 of entities, over all and "per_type", and the share of words
    with the right tag; of other tags that share, and their macro F1. Intervals are those of a bootstrap over sentences,
    at 95 %. Raises `DataError` for a tag that the model does not know, and for another scheme, before any work.
    """
    scheme = _scheme(model, file, path)
    _check_tags(model, file.sentences, path)
    sentences = file.sentences[:limit]
    answered: list[Tagged] = []
    with bar("tagging", total=len(sentences), unit="sentences", silent=silent) as progress:
        for start in range(0, len(sentences), _AT_ONCE):
            some = sentences[start : start + _AT_ONCE]
            found = model.tag([list(sentence.words) for sentence in some])
            answered += [
                Tagged(words=one.words, target=list(sentence.tags), tags=one.tags, spans=one.spans)
                for sentence, one in zip(some, found, strict=True)
            ]
            progress.advance(len(some))
    figures, intervals = _of_words(answered) if scheme is None else _of_entities(answered, scheme)
    words = sum(len(one.words) for one in answered)
    settings = {"limit": limit, "scheme": scheme, "words": words, "confidence": 0.95}
    return {
        "task": "tagging",
        "metrics": figures,
        "intervals": intervals,
        "count": len(answered),
        "settings": settings,
    }, answered


def _scheme(model: LocalModel, file: TaggedFile, path: Path) -> Scheme | None:
    """How the model's tags mark spans; None where they mark none."""
    scheme = scheme_of(model.labels)
    if file.scheme not in (None, scheme):
        raise DataError(
            "the file marks spans in another way than the model",
            received=f"{path}: {file.scheme}",
            expected=scheme or "tags that mark no spans, such as parts of speech",
            fix="give a file with tags like those that the model was trained on",
        )
    return scheme


def _check_tags(model: LocalModel, sentences: Sequence[TaggedSentence], path: Path) -> None:
    known = set(model.labels)
    for sentence in sentences:
        for line, tag in enumerate(sentence.tags, start=sentence.line):
            if tag not in known:
                raise DataError(
                    "the model does not know a tag",
                    received=f"{path}, line {line}: {tag!r}",
                    expected=", ".join(model.labels),
                    fix="give a file with the tags that the model was trained on, or train it on these",
                )


def _of_entities(answered: Sequence[Tagged], scheme: Scheme) -> tuple[dict[str, Any], dict[str, list[float]]]:
    given, wanted = [one.tags for one in answered], [one.target for one in answered]
    found = metrics.entity_f1(given, wanted, scheme=scheme)
    words = _right_words(answered)
    figures = {name: found[name] for name in _ENTITY_FIGURES}
    figures |= {"token_accuracy": float(_ratio(words.sum(0))), "per_type": found["per_type"]}
    if len(answered) < 2:  # of one sentence nothing can be drawn
        return figures, {}
    drawn = {
        "f1": bootstrap(entity_counts(given, wanted, scheme=scheme), f1_of),
        "token_accuracy": bootstrap(words, _ratio),
    }
    return figures, {name: [interval.low, interval.high] for name, interval in drawn.items()}


def _of_words(answered: Sequence[Tagged]) -> tuple[dict[str, Any], dict[str, list[float]]]:
    given, wanted = [tag for one in answered for tag in one.tags], [tag for one in answered for tag in one.target]
    shares = metrics.precision_recall_f1(given, wanted)
    words = _right_words(answered)
    figures = {
        "token_accuracy": float(_ratio(words.sum(0))),
        "macro_f1": shares["f1_macro"],
        "per_tag": shares["per_class"],
    }
    if len(answered) < 2:
        return figures, {}
    interval = bootstrap(words, _ratio)
    return figures, {"token_accuracy": [interval.low, interval.high]}


def _right_words(answered: Sequence[Tagged]) -> np.ndarray:
    """Words with the right tag, and words, a row a sentence, [N, 2]."""
    rows = [(sum(map(str.__eq__, one.tags, one.target)), len(one.target)) for one in answered]
    return np.array(rows, dtype=np.float64)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1])
