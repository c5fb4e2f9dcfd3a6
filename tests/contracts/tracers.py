"""Tiny models of every architecture there is, three ragged texts for them, and what may be asked of each."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trivium.models import Architecture, architecture
from trivium.nn.state import State

V, LENGTHS, SOURCE_LENGTHS = 23, [7, 3, 5], [4, 6, 2]


@dataclass(frozen=True)
class Tracer:
    """A tiny model of one architecture and what may be asked of it."""

    label: str
    row: Architecture
    fields: dict[str, Any]

    def config(self, **changes: Any) -> Any:
        return self.row.config_class()(vocabulary_size=V, **{**self.fields, **changes})

    def build(self, **changes: Any) -> nn.Module:
        torch.manual_seed(1)
        model = self.row.model_class()(self.config(**changes)).double().eval()
        for parameter in model.parameters():  # nothing may be hidden by a bias of 0 or a gain of 1
            parameter.data += 0.1 * torch.randn_like(parameter)
        return model

    @property
    def reads_a_source(self) -> bool:
        return self.row.kind.endswith("encoder-decoder")

    @property
    def tags(self) -> bool:
        """Says something of each word, not of the whole text."""
        return self.fields.get("head") == "tagging"

    @property
    def goes_on(self) -> bool:
        """Reads from left to right and can carry a state."""
        return self.row.kind == "decoder" or self.recurrent or self.reads_a_source

    @property
    def recurrent(self) -> bool:
        return "recurrent" in self.row.kind

    @property
    def attends(self) -> bool:
        """Has attention to collect: a plain recurrence has none, nor has a decoder with one fixed context."""
        return not self.recurrent or self.row.name in ("seq2seq", "luong")

    @property
    def attends_to_its_source_with_itself(self) -> bool:
        """Its attention is one over source and target, so that what the target has of it does not add up to 1."""
        return self.row.name == "glm"

    @property
    def without_dropout(self) -> dict[str, float]:
        """The fields that leave nothing to chance while training."""
        names = [field.name for field in dataclasses.fields(self.row.config_class())]
        return {name: 0.0 for name in names if name.endswith("dropout")}

    def state(self, model: nn.Module, rows: list[int], capacity: int = 12) -> State:
        """A state that can be carried on, for the given of the three rows."""
        if not self.reads_a_source:
            return model.new_state(len(rows), capacity)
        longest = max(SOURCE_LENGTHS[row] for row in rows)
        return model.encode(sources()[rows, :longest], torch.tensor(SOURCE_LENGTHS)[rows], capacity=capacity)

    def given(self, model: nn.Module, rows: list[int]) -> dict[str, State]:
        """What ``forward`` needs beside tokens when nothing is to be cached."""
        return {"state": self.state(model, rows, capacity=0)} if self.reads_a_source else {}


_TRANSFORMER = {"width": 16, "layers": 2, "dropout": 0.1}
TRACERS = [
    Tracer("rnn", architecture("rnn"), {"width": 12, "layers": 2, "dropout": 0.1, "tied": True, "embedding_width": 8}),
    Tracer("lstm", architecture("lstm"), {"width": 12, "layers": 2, "dropout": 0.1}),
    Tracer("lstm tied", architecture("lstm"), {"width": 12, "layers": 1, "dropout": 0.1, "tied": True}),
    Tracer("gru", architecture("gru"), {"width": 12, "layers": 2, "dropout": 0.1, "embedding_width": 8}),
    Tracer(
        "text_cnn",
        architecture("text_cnn"),
        {"width": 12, "windows": (2, 4), "filters": (5, 6), "highway": True, "labels": ("a", "b", "c")},
    ),
    Tracer(
        "bilstm",
        architecture("bilstm"),
        {"embedding_width": 10, "width": 12, "layers": 2, "dropout": 0.1, "labels": ("a", "b", "c")},
    ),
    Tracer(
        "bilstm tagging",
        architecture("bilstm"),
        {"embedding_width": 10, "width": 12, "dropout": 0.1, "head": "tagging", "labels": ("O", "B-x", "I-x")},
    ),
    Tracer(
        "bilstm crf",
        architecture("bilstm"),
        {
            "embedding_width": 10,
            "width": 12,
            "dropout": 0.1,
            "head": "tagging",
            "labels": ("O", "B-x", "I-x"),
            "crf": True,
        },
    ),
    Tracer(
        "seq2seq gru",
        architecture("seq2seq"),
        {"embedding_width": 10, "width": 12, "layers": 2, "attention_width": 8, "dropout": 0.1},
    ),
    Tracer(
        "seq2seq lstm",
        architecture("seq2seq"),
        {"embedding_width": 10, "width": 12, "attention_width": 8, "cell": "lstm", "tied": True, "dropout": 0.1},
    ),
    Tracer(
        "cho",
        architecture("cho"),
        {"embedding_width": 10, "width": 12, "readout_width": 9, "dropout": 0.1},
    ),
    Tracer("sutskever", architecture("sutskever"), {"embedding_width": 10, "width": 12, "layers": 2, "dropout": 0.1}),
    Tracer(
        "sutskever tied",
        architecture("sutskever"),
        {"embedding_width": 12, "width": 12, "layers": 1, "tied": True, "dropout": 0.1},
    ),
    Tracer("luong", architecture("luong"), {"embedding_width": 10, "width": 12, "layers": 2, "dropout": 0.1}),
    Tracer(
        "luong dot tied",
        architecture("luong"),
        {
            "embedding_width": 12,
            "width": 12,
            "layers": 2,
            "direction": "both",
            "score": "dot",
            "input_feeding": False,
            "tied": True,
            "dropout": 0.1,
        },
    ),
    Tracer(
        "luong concat",
        architecture("luong"),
        {
            "embedding_width": 10,
            "width": 12,
            "layers": 1,
            "direction": "forward",
            "score": "concat",
            "input_feeding": False,
            "dropout": 0.1,
        },
    ),
    Tracer(
        "transformer",
        architecture("transformer"),
        {**_TRANSFORMER, "decoder_layers": 3, "heads": 2, "inner_width": 24},
    ),
    Tracer(
        "transformer norm first",
        architecture("transformer"),
        {
            **_TRANSFORMER,
            "heads": 4,
            "inner_width": 24,
            "norm_first": True,
            "positions": "interleaved",
            "activation": "silu",
            "source_vocabulary_size": 29,
            "sharing": "none",
        },
    ),
    Tracer("awd_lstm", architecture("awd_lstm"), {"width": 12, "layers": 2, "tied": False}),
    Tracer("awd_lstm tied", architecture("awd_lstm"), {"width": 12, "layers": 2, "embedding_width": 8}),
    Tracer("bilm", architecture("bilm"), {"width": 12, "layers": 2}),
    Tracer(
        "bert",
        architecture("bert"),
        {**_TRANSFORMER, "heads": 2, "inner_width": 24, "context_tokens": 12, "head": "pretraining"},
    ),
    Tracer(
        "ernie",
        architecture("ernie"),
        {**_TRANSFORMER, "heads": 2, "inner_width": 24, "context_tokens": 12, "task_types": 3},
    ),
    Tracer("roberta", architecture("roberta"), {**_TRANSFORMER, "heads": 2, "inner_width": 24, "context_tokens": 12}),
    Tracer("gpt2", architecture("gpt2"), {**_TRANSFORMER, "heads": 2, "context_tokens": 12}),
    Tracer("xlnet", architecture("xlnet"), {**_TRANSFORMER, "heads": 2, "inner_width": 24}),
    Tracer(
        "t5 1.0",
        architecture("t5"),
        {**_TRANSFORMER, "decoder_layers": 3, "heads": 2, "head_width": 6, "inner_width": 24, "buckets": 8},
    ),
    Tracer(
        "t5 1.1",
        architecture("t5"),
        {
            **_TRANSFORMER,
            "heads": 2,
            "head_width": 6,
            "inner_width": 24,
            "furthest_tokens": 6,
            "buckets": 8,
            "feedforward": "gated-gelu",
            "tied": False,
        },
    ),
    Tracer(
        "bart",
        architecture("bart"),
        {
            **_TRANSFORMER,
            "decoder_layers": 3,
            "heads": 2,
            "inner_width": 24,
            "context_tokens": 12,
            "scale_embedding": True,
        },
    ),
    Tracer(
        "glm",
        architecture("glm"),
        {**_TRANSFORMER, "heads": 2, "context_tokens": 12, "blank_ids": (3, 4)},
    ),
    Tracer(
        "electra",
        architecture("electra"),
        {**_TRANSFORMER, "embedding_width": 10, "heads": 2, "inner_width": 24, "context_tokens": 12},
    ),
    Tracer(
        "llama",
        architecture("llama"),
        {**_TRANSFORMER, "heads": 4, "key_value_heads": 2, "head_width": 6, "inner_width": 24, "context_tokens": 12},
    ),
    Tracer(
        "modernbert",
        architecture("modernbert"),
        {**_TRANSFORMER, "layers": 3, "heads": 2, "inner_width": 24, "local_tokens": 4, "context_tokens": 12},
    ),
]
GOING_ON = [tracer for tracer in TRACERS if tracer.goes_on]
PREDICTING = [tracer for tracer in TRACERS if tracer.row.kind != "classifier"]
NAMED = {"argnames": "tracer", "ids": lambda tracer: tracer.label.replace(" ", "-")}
every_model = pytest.mark.parametrize(argvalues=TRACERS, **NAMED)
every_model_that_goes_on = pytest.mark.parametrize(argvalues=GOING_ON, **NAMED)
every_model_that_predicts = pytest.mark.parametrize(argvalues=PREDICTING, **NAMED)


def texts(seed: int = 3) -> Tensor:
    """Three rows of random tokens; those beyond LENGTHS are the garbage."""
    return torch.randint(V, (3, max(LENGTHS)), generator=torch.Generator().manual_seed(seed))


def sources() -> Tensor:
    return torch.randint(V, (3, max(SOURCE_LENGTHS)), generator=torch.Generator().manual_seed(4))
