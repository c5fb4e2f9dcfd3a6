"""What a network says of a text, in the terms of ``config.json``: ``architectures``, ``id2label``, ``problem_type``.

``transformers`` names a network's head in ``architectures``: ``BertForSequenceClassification`` is the body of BERT
under a head that classifies texts. The labels of a head stand in ``id2label``, in the order of its outputs.
"""

from collections.abc import Mapping
from typing import Any, Literal

from trivium.errors import ConfigError, Unsupported
from trivium.models.own_format import check_labels

Head = Literal["language", "classification", "regression", "tagging", "span", "none"]
"""What a network says: tokens; the class of a text, or numbers for it; the tag of each word; where an answer begins and
ends; or nothing but its hidden states (a bare body)."""

LABELLED = ("classification", "regression", "tagging")
"""Heads whose outputs have names."""

_ENDINGS: dict[str, str] = {
    "classification": "ForSequenceClassification",
    "regression": "ForSequenceClassification",
    "tagging": "ForTokenClassification",
    "span": "ForQuestionAnswering",
    "none": "Model",
}
_PROBLEMS = {"classification": "single_label_classification", "regression": "regression"}


def check_head(head: str, labels: tuple[str, ...]) -> None:
    """``ConfigError`` for a head without the labels that it needs, or for labels that no output belongs to."""
    if head in LABELLED:
        check_labels(labels)
    elif labels:
        raise ConfigError(
            "labels belong to a head that gives them",
            received=f"labels {', '.join(labels)} with head {head!r}",
            expected=f"no labels, or head {' or '.join(LABELLED)}",
        )


def read_head(
    config: Mapping[str, Any], family: str, *, language: tuple[str, ...], own: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """``{"head": ..., "labels": ...}`` of a ``config.json``.

    ``architectures`` must name one network of the ``family`` ("Bert"); ``language`` are the endings of its networks
    that predict tokens ("ForMaskedLM"), the first also where no network is named, and ``own`` gives the heads that only
    this family has, by their endings. Raises ``Unsupported`` for another network and for several labels of one text,
    ``ConfigError`` for labels that are not numbered from 0.
    """
    head = _named_head(config.get("architectures"), family, language, own or {})
    if head not in LABELLED:
        return {"head": head, "labels": ()}
    labels = _labels(config)
    if head == "classification":
        problem = config.get("problem_type")
        if problem not in (None, *_PROBLEMS.values()):
            raise Unsupported("problem_type", received=problem, expected=", ".join(_PROBLEMS.values()))
        # Where nothing is said, transformers takes one output for a number.
        if problem == "regression" or (problem is None and len(labels) == 1):
            head = "regression"
    return {"head": head, "labels": labels}


def write_head(config: Any, family: str, *, language: str, own: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What ``read_head`` reads back: ``config`` has ``head`` and ``labels``, ``language`` is the ending of the network
    that predicts tokens, ``own`` is as there."""
    endings = {head: ending for ending, head in (own or {}).items()} | _ENDINGS | {"language": language}
    written: dict[str, Any] = {"architectures": [family + endings[config.head]]}
    if config.labels:
        written["id2label"] = {str(number): label for number, label in enumerate(config.labels)}
        written["label2id"] = {label: number for number, label in enumerate(config.labels)}
    if config.head in _PROBLEMS:
        written["problem_type"] = _PROBLEMS[config.head]
    return written


def _named_head(architectures: Any, family: str, language: tuple[str, ...], own: Mapping[str, str]) -> str:
    heads = dict.fromkeys(language, "language") | dict(own)
    heads |= {ending: head for head, ending in _ENDINGS.items() if head != "regression"}
    if not architectures:
        return "language"
    names = {family + ending: head for ending, head in heads.items()}
    if not isinstance(architectures, list) or len(architectures) != 1 or architectures[0] not in names:
        received = ", ".join(map(str, architectures)) if isinstance(architectures, list) else architectures
        raise Unsupported("architectures", received=received, expected=", ".join(names))
    return names[architectures[0]]


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels in the order of their numbers; two without names where nothing is said, as in transformers."""
    id2label = config.get("id2label")
    if id2label is None:
        return tuple(f"LABEL_{number}" for number in range(config.get("num_labels", 2)))
    numbered = {str(number): label for number, label in id2label.items()} if isinstance(id2label, dict) else {}
    numbers = [str(number) for number in range(len(numbered))]
    if not numbers or set(numbered) != set(numbers):
        raise ConfigError(
            "id2label does not number the labels", received=id2label, expected='{"0": a label, "1": another, ...}'
        )
    return tuple(str(numbered[number]) for number in numbers)
