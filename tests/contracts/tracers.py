"""Tiny models of every architecture there is, three ragged texts for them, and what may be asked of each."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trivium.models import Architecture, architecture
from trivium.models.modular_config import MemoryConfig, MixtureConfig, PatternConfig
from trivium.nn.positions.rope import Rope
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
    def attends_to_nothing(self) -> bool:
        """Has sinks, so that a part of its attention falls on no token."""
        return self.row.name == "gpt_oss"

    @property
    def has_experts(self) -> bool:
        """Multiplies a token together with those that chose the same expert, which other tokens of the text change."""
        return any(field.name == "experts" for field in dataclasses.fields(self.row.config_class()))

    @property
    def without_dropout(self) -> dict[str, float]:
        """The fields that leave nothing to chance while training."""
        names = [field.name for field in dataclasses.fields(self.row.config_class())]
        return {name: 0.0 for name in names if name.endswith("dropout")}

    @property
    def additive(self) -> dict[str, Any]:
        """The fields under which a loss is a sum over texts: nothing is left to chance, and no experts are kept equally
        busy, which is a matter of a whole batch."""
        names = {field.name for field in dataclasses.fields(self.row.config_class())}
        fields: dict[str, Any] = dict(self.without_dropout)
        if "balance_weight" in names:
            fields["balance_weight"] = 0.0
        if "mixture" in names:
            fields["mixture"] = dataclasses.replace(self.fields.get("mixture", MixtureConfig()), balance_weight=0.0)
        return fields

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
_GEMMA = {
    **_TRANSFORMER,
    "heads": 4,
    "key_value_heads": 2,
    "head_width": 6,
    "inner_width": 24,
    "context_tokens": 12,
    "window_tokens": 3,
}
_MODULAR = {**_TRANSFORMER, "heads": 2, "inner_width": 24, "context_tokens": 12}
_EXPERTS = {
    **_TRANSFORMER,
    "heads": 4,
    "key_value_heads": 2,
    "inner_width": 12,
    "experts": 4,
    "chosen_experts": 2,
}
_DEEPSEEK = {
    **_TRANSFORMER,
    "heads": 2,
    "head_width": 4,
    "rotary_width": 4,
    "value_width": 3,
    "rank": 16,
    "inner_width": 24,
    "dense_layers": 1,
    "experts": 6,
    "chosen_experts": 2,
    "expert_groups": 3,
    "chosen_groups": 2,
    "expert_inner_width": 8,
    "context_tokens": 12,
}
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
    Tracer(
        "leakgan",
        architecture("leakgan"),
        {
            "width": 12,
            "embedding_width": 8,
            "action_width": 5,
            "horizon": 3,
            "leak_width": 6,
            "windows": (1, 3),
            "filters": (6, 5),
            "dropout": 0.1,
        },
    ),
    Tracer(
        "leakgan of the last goal",
        architecture("leakgan"),
        {"width": 12, "horizon": 1, "leak_width": 6, "windows": (1,), "filters": (9,), "dropout": 0.1},
    ),
    Tracer("awd_lstm", architecture("awd_lstm"), {"width": 12, "layers": 2, "tied": False}),
    Tracer("awd_lstm tied", architecture("awd_lstm"), {"width": 12, "layers": 2, "embedding_width": 8}),
    Tracer("bilm", architecture("bilm"), {"width": 12, "layers": 2}),
    Tracer(
        "relational_memory",
        architecture("relational_memory"),
        {"width": 12, "slots": 3, "layers": 2, "dropout": 0.1, "embedding_width": 8},
    ),
    Tracer(
        "relational_memory tied",
        architecture("relational_memory"),
        {"width": 12, "slots": 2, "heads": 4, "gating": "slot", "dropout": 0.1, "tied": True},
    ),
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
    Tracer("gpt", architecture("gpt"), {**_TRANSFORMER, "heads": 2, "context_tokens": 12}),
    Tracer("gpt2", architecture("gpt2"), {**_TRANSFORMER, "heads": 2, "context_tokens": 12}),
    Tracer(
        "gpt_neo",
        architecture("gpt_neo"),
        {**_TRANSFORMER, "heads": 2, "context_tokens": 12, "window_tokens": 3},
    ),
    Tracer(
        "gptj",
        architecture("gptj"),
        {**_TRANSFORMER, "heads": 2, "context_tokens": 12, "rotary_width": 4},
    ),
    Tracer("gpt_neox", architecture("gpt_neox"), {**_TRANSFORMER, "heads": 2, "inner_width": 24, "context_tokens": 12}),
    Tracer(
        "gpt_neox sequential",
        architecture("gpt_neox"),
        {**_TRANSFORMER, "heads": 2, "inner_width": 24, "context_tokens": 12, "parallel": False},
    ),
    Tracer(
        "opt",
        architecture("opt"),
        {**_TRANSFORMER, "embedding_width": 16, "heads": 2, "inner_width": 24, "context_tokens": 12},
    ),
    Tracer(
        "opt 350m",
        architecture("opt"),
        {
            **_TRANSFORMER,
            "embedding_width": 10,
            "heads": 2,
            "inner_width": 24,
            "context_tokens": 12,
            "norm_first": False,
        },
    ),
    Tracer("bloom", architecture("bloom"), {**_TRANSFORMER, "heads": 2, "context_tokens": 12}),
    Tracer("falcon", architecture("falcon"), {**_TRANSFORMER, "heads": 2, "context_tokens": 12}),
    Tracer(
        "falcon new",
        architecture("falcon"),
        {**_TRANSFORMER, "heads": 4, "key_value_heads": 2, "parallel_norms": 2, "context_tokens": 12},
    ),
    Tracer(
        "falcon alibi",
        architecture("falcon"),
        {**_TRANSFORMER, "heads": 2, "key_value_heads": 2, "parallel": False, "alibi": True, "bias": True},
    ),
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
        "mistral",
        architecture("mistral"),
        {**_TRANSFORMER, "heads": 4, "key_value_heads": 2, "head_width": 6, "inner_width": 24, "window_tokens": 3},
    ),
    Tracer(
        "phi3",
        architecture("phi3"),
        {
            **_TRANSFORMER,
            "heads": 2,
            "key_value_heads": 1,
            "inner_width": 24,
            "context_tokens": 12,
            "window_tokens": 4,
            "rope": Rope(turning_share=0.75),
        },
    ),
    Tracer(
        "cohere",
        architecture("cohere"),
        {**_TRANSFORMER, "heads": 4, "key_value_heads": 2, "inner_width": 24, "qk_norm": True, "logit_scale": 0.5},
    ),
    Tracer(
        "qwen2",
        architecture("qwen2"),
        {
            **_TRANSFORMER,
            "layers": 3,
            "heads": 4,
            "key_value_heads": 2,
            "inner_width": 24,
            "window_tokens": 3,
            "window_layers": (1, 2),
        },
    ),
    Tracer(
        "cohere2",
        architecture("cohere2"),
        {
            **_TRANSFORMER,
            "layers": 3,
            "heads": 4,
            "key_value_heads": 2,
            "inner_width": 24,
            "window_tokens": 3,
            "window_layers": (0, 2),
        },
    ),
    Tracer(
        "olmo2",
        architecture("olmo2"),
        {**_TRANSFORMER, "heads": 4, "key_value_heads": 2, "inner_width": 24, "context_tokens": 12},
    ),
    Tracer(
        "qwen3",
        architecture("qwen3"),
        {**_TRANSFORMER, "heads": 4, "key_value_heads": 2, "head_width": 6, "inner_width": 24, "context_tokens": 12},
    ),
    Tracer(
        "gemma",
        architecture("gemma"),
        {**_TRANSFORMER, "heads": 4, "key_value_heads": 1, "head_width": 6, "inner_width": 24, "context_tokens": 12},
    ),
    Tracer(
        "gemma2",
        architecture("gemma2"),
        {**_GEMMA, "layers": 3, "window_layers": (0, 2), "score_divisor": 5, "score_cap": 2.0, "logit_cap": 3.0},
    ),
    Tracer(
        "gemma3",
        architecture("gemma3"),
        {**_GEMMA, "layers": 3, "window_layers": (0, 1), "score_divisor": 5},
    ),
    Tracer(
        "gpt3",
        architecture("gpt3"),
        {**_TRANSFORMER, "layers": 3, "heads": 2, "head_width": 6, "window_tokens": 3, "context_tokens": 12},
    ),
    Tracer("jurassic1", architecture("jurassic1"), {**_TRANSFORMER, "heads": 2, "context_tokens": 12}),
    Tracer("megatron_turing", architecture("megatron_turing"), {**_TRANSFORMER, "heads": 2, "context_tokens": 12}),
    Tracer("gopher", architecture("gopher"), {**_TRANSFORMER, "heads": 2, "inner_width": 24}),
    Tracer("gopher untied", architecture("gopher"), {**_TRANSFORMER, "heads": 4, "inner_width": 24, "tied": False}),
    Tracer(
        "lamda",
        architecture("lamda"),
        {**_TRANSFORMER, "heads": 2, "head_width": 6, "inner_width": 24, "buckets": 8, "furthest_tokens": 6},
    ),
    Tracer("palm", architecture("palm"), {**_TRANSFORMER, "heads": 2, "head_width": 6, "inner_width": 24}),
    Tracer(
        "palm untied",
        architecture("palm"),
        {**_TRANSFORMER, "heads": 2, "head_width": None, "inner_width": 24, "tied": False},
    ),
    Tracer(
        "ernie3",
        architecture("ernie3"),
        {**_TRANSFORMER, "heads": 2, "task_heads": 4, "task_layers": 2, "tied": True},
    ),
    Tracer(
        "grok1",
        architecture("grok1"),
        {
            **_TRANSFORMER,
            "heads": 4,
            "key_value_heads": 2,
            "inner_width": 12,
            "experts": 4,
            "score_cap": 2.0,
            "context_tokens": 12,
        },
    ),
    Tracer(
        "mixtral",
        architecture("mixtral"),
        {**_EXPERTS, "head_width": 6, "context_tokens": 12, "window_tokens": 3},
    ),
    Tracer(
        "qwen3_moe",
        architecture("qwen3_moe"),
        {
            **_EXPERTS,
            "head_width": 6,
            "expert_inner_width": 10,
            "layers": 3,
            "dense_layers": (1,),
            "renormalise": False,
            "context_tokens": 12,
        },
    ),
    Tracer(
        "gpt_oss",
        architecture("gpt_oss"),
        {**_EXPERTS, "head_width": 6, "window_tokens": 3, "gate_limit": 0.7, "balance_weight": 0.01},
    ),
    Tracer("deepseek_v3", architecture("deepseek_v3"), {**_DEEPSEEK, "query_rank": 10}),
    Tracer(
        "deepseek_v3 full queries",
        architecture("deepseek_v3"),
        {**_DEEPSEEK, "neighbours": False, "dense_layers": 0, "shared_experts": 2, "attention_bias": True},
    ),
    Tracer(
        "modernbert",
        architecture("modernbert"),
        {**_TRANSFORMER, "layers": 3, "heads": 2, "inner_width": 24, "local_tokens": 4, "context_tokens": 12},
    ),
    Tracer(
        "modular learned",
        architecture("modular"),
        {
            **_MODULAR,
            "positions": "learned",
            "norm": "layer",
            "feedforward": "plain",
            "activation": "gelu",
            "bias": True,
        },
    ),
    Tracer(
        "modular sinusoidal strided",
        architecture("modular"),
        {**_MODULAR, "positions": "sinusoidal", "attention": "strided", "pattern": PatternConfig(block_tokens=2)},
    ),
    Tracer(
        "modular rope window",
        architecture("modular"),
        {
            **_MODULAR,
            "rope": Rope(kind="yarn", factor=4.0, original_context_tokens=4),
            "attention": "window",
            "pattern": PatternConfig(window_tokens=3),
            "qk_norm": True,
            "key_value_heads": 1,
        },
    ),
    Tracer(
        "modular alibi adaptive span",
        architecture("modular"),
        {
            **_MODULAR,
            "positions": "alibi",
            "attention": "adaptive_span",
            "pattern": PatternConfig(span_tokens=6, ramp_tokens=2, first_span_tokens=1.0),
        },
    ),
    Tracer(
        "modular shaw memory",
        architecture("modular"),
        {
            **_MODULAR,
            "positions": "shaw",
            "furthest_tokens": 3,
            "memory": MemoryConfig(layers=(1,), half_keys=4, chosen=3, heads=2, key_width=8),
        },
    ),
    Tracer(
        "modular transformer-xl window",
        architecture("modular"),
        {
            **_MODULAR,
            "positions": "transformer_xl",
            "attention": "window",
            "pattern": PatternConfig(window_tokens=3),
            "soft_cap": 5.0,
        },
    ),
    Tracer(
        "modular transformer-xl grouped",
        architecture("modular"),
        {**_MODULAR, "positions": "transformer_xl", "key_value_heads": 1, "parallel": True, "tied": False},
    ),
    Tracer(
        "modular t5 block sparse",
        architecture("modular"),
        {
            **_MODULAR,
            "positions": "t5",
            "buckets": 8,
            "furthest_tokens": 6,
            "attention": "block_sparse",
            "pattern": PatternConfig(block_tokens=2, blocks_before=0),
        },
    ),
    Tracer(
        "modular t5 experts",
        architecture("modular"),
        {
            **_MODULAR,
            "positions": "t5",
            "buckets": 8,
            "furthest_tokens": 6,
            "feedforward": "experts",
            "mixture": MixtureConfig(experts=4),
            "scale": 0.3,
        },
    ),
    Tracer(
        "modular none fixed",
        architecture("modular"),
        {
            **_MODULAR,
            "positions": "none",
            "attention": "fixed",
            "pattern": PatternConfig(block_tokens=2, summary_tokens=1),
        },
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
