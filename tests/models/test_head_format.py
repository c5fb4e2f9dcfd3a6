"""Heads in the terms of config.json, both ways."""

from typing import Any

import pytest

from trivium.errors import ConfigError, Unsupported
from trivium.models.bert import BertConfig
from trivium.models.head_format import read_head, write_head

ONE, TWO = {"0": "mood"}, {"0": "no", "1": "yes"}
SEQUENCES, TOKENS = ["BertForSequenceClassification"], ["BertForTokenClassification"]


def read(**config: Any) -> tuple[str, tuple[str, ...]]:
    found = read_head(config, "Bert", language=("ForMaskedLM", "LMHeadModel"), own={"ForPreTraining": "pretraining"})
    return found["head"], found["labels"]


@pytest.mark.parametrize(
    ("config", "head", "labels"),
    [
        ({}, "language", ()),
        ({"architectures": None}, "language", ()),
        ({"architectures": ["BertForMaskedLM"], "id2label": TWO}, "language", ()),
        ({"architectures": ["BertLMHeadModel"]}, "language", ()),
        ({"architectures": ["BertModel"]}, "none", ()),
        ({"architectures": ["BertForPreTraining"]}, "pretraining", ()),
        ({"architectures": ["BertForQuestionAnswering"], "id2label": TWO}, "span", ()),
        ({"architectures": SEQUENCES}, "classification", ("LABEL_0", "LABEL_1")),
        ({"architectures": SEQUENCES, "num_labels": 3}, "classification", ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"architectures": SEQUENCES, "id2label": {"1": "yes", "0": "no"}}, "classification", ("no", "yes")),
        ({"architectures": SEQUENCES, "id2label": {0: "no", 1: "yes"}}, "classification", ("no", "yes")),
        ({"architectures": SEQUENCES, "id2label": ONE}, "regression", ("mood",)),
        (
            {"architectures": SEQUENCES, "id2label": ONE, "problem_type": "single_label_classification"},
            "classification",
            ("mood",),
        ),
        ({"architectures": SEQUENCES, "id2label": TWO, "problem_type": "regression"}, "regression", ("no", "yes")),
        ({"architectures": TOKENS, "id2label": TWO}, "tagging", ("no", "yes")),
        ({"architectures": TOKENS, "id2label": ONE, "problem_type": "regression"}, "tagging", ("mood",)),
    ],
)
def test_what_is_read(config: dict[str, Any], head: str, labels: tuple[str, ...]) -> None:
    assert read(**config) == (head, labels)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"architectures": ["BertForMultipleChoice"]}, "BertForMultipleChoice"),
        ({"architectures": ["RobertaForMaskedLM"]}, "RobertaForMaskedLM"),
        ({"architectures": ["BertModel", "BertForMaskedLM"]}, "BertModel, BertForMaskedLM"),
        ({"architectures": "BertModel"}, "BertModel"),
        ({"architectures": SEQUENCES, "problem_type": "multi_label_classification"}, "multi_label_classification"),
    ],
)
def test_what_is_not_computed_is_refused_by_its_name(config: dict[str, Any], name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        read(**config)


@pytest.mark.parametrize("labels", [{}, {"1": "a", "2": "b"}, {"x": "a"}, ["a", "b"]])
def test_labels_that_are_not_numbered_from_0_are_refused(labels: object) -> None:
    with pytest.raises(ConfigError, match="does not number"):
        read(architectures=SEQUENCES, id2label=labels)


@pytest.mark.parametrize("head", ["language", "pretraining", "span", "none"])
def test_labels_without_a_head_for_them_are_refused(head: str) -> None:
    with pytest.raises(ConfigError, match="labels belong to a head"):
        BertConfig(head=head, labels=("a",))


@pytest.mark.parametrize("head", ["classification", "regression", "tagging"])
def test_a_head_for_labels_without_any_is_refused(head: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the labels"):
        BertConfig(head=head)


@pytest.mark.parametrize("head", ["language", "pretraining", "classification", "regression", "tagging", "span", "none"])
def test_what_is_written_is_read_back(head: str) -> None:
    labels = ("a",) if head in ("classification", "regression", "tagging") else ()
    config = BertConfig(head=head, labels=labels)
    written = write_head(config, "Bert", language="ForMaskedLM", own={"ForPreTraining": "pretraining"})
    assert read(**written) == (head, labels)
    if labels:
        assert (written["id2label"], written["label2id"]) == ({"0": "a"}, {"a": 0})
