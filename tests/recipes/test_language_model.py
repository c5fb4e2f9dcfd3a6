"""The network of a language model: what is refused, and that what is asked for is what is built."""

import dataclasses

import pytest
import torch

from trivium import tokenizers
from trivium.errors import ConfigError, Unsupported
from trivium.models import ARCHITECTURES, architecture
from trivium.models.modular_config import MemoryConfig
from trivium.recipes.language_model import ModelConfig, RegularisationConfig, build_model, special_ids
from trivium.recipes.parts import PartsConfig
from trivium.tokenizers.special import for_understanding

KINDS = ("decoder", "recurrent", "bidirectional recurrent", "encoder", "encoder-decoder")
LANGUAGE_MODELS = [each.name for each in ARCHITECTURES if each.kind in KINDS]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ModelConfig(architecture="lama"), "did you mean"),
        (ModelConfig(architecture="cho"), r"needs a language model(.|\n)*expected: " + ", ".join(LANGUAGE_MODELS)),
        (ModelConfig(embedding_width=16), "as wide as its blocks"),
        (ModelConfig(architecture="bilm", embedding_width=16), "as wide as its blocks"),
        (ModelConfig(architecture="lstm", heads=2), "no attention heads"),
        (ModelConfig(architecture="bilm", inner_width=2), "no attention heads"),
        (ModelConfig(width=33, heads=2), "heads do not divide the width"),
        (ModelConfig(layers=0), "at least 1"),
        (ModelConfig(architecture="glm", inner_width=64), "four times as wide"),
        (ModelConfig(architecture="glm", tied=False), "output weights of glm are tied"),
        (ModelConfig(architecture="bloom", inner_width=64), "bloom are four times as wide"),
        (ModelConfig(architecture="llama", experts=4), "llama has no experts"),
        (ModelConfig(architecture="mixtral", experts=0), "experts"),
        (ModelConfig(architecture="llama", parts=PartsConfig(positions="alibi")), r"(?s)its paper.*parts\.positions"),
        (
            ModelConfig(architecture="lstm", regularisation=RegularisationConfig(weight_dropout=0.5)),
            r"lstm knows only plain dropout(.|\n)*regularisation.weight_dropout 0.5",
        ),
        (
            ModelConfig(architecture="awd_lstm", regularisation=RegularisationConfig(hidden_dropout=1.0)),
            "hidden_dropout must be at least 0 and below 1",
        ),
        (
            ModelConfig(architecture="awd_lstm", regularisation=RegularisationConfig(activation_regularisation=-1.0)),
            "activation_regularisation must be a finite number",
        ),
        (ModelConfig(dropout=float("nan")), "dropout must be at least 0"),
    ],
)
def test_impossible_models_are_refused(model: ModelConfig, message: str):
    with pytest.raises((ConfigError, Unsupported), match=message):
        build_model(model, 300, 32)


def test_a_recurrent_model_may_have_a_narrow_embedding():
    model = build_model(ModelConfig(architecture="gru", width=32, layers=1, embedding_width=8), 300, 32)
    assert model.embedding.weight.shape == (300, 8)


def test_a_relational_memory_may_have_more_heads():
    asked = ModelConfig(architecture="relational_memory", width=32, layers=1)
    built = [build_model(each, 300, 32).config for each in (asked, dataclasses.replace(asked, heads=4))]
    assert [config.heads for config in built] == [2, 4]


def test_awd_lstm_is_regularised_as_its_authors_do_unless_told_otherwise():
    theirs = build_model(ModelConfig(architecture="awd_lstm", width=16, layers=2), 300, 32).config
    assert (theirs.dropout, theirs.input_dropout, theirs.weight_dropout) == (0.4, 0.4, 0.5)
    asked = RegularisationConfig(weight_dropout=0.2, activation_regularisation=0.0)
    ours = build_model(
        ModelConfig(architecture="awd_lstm", width=16, layers=2, dropout=0.0, regularisation=asked), 300, 32
    ).config
    assert (ours.dropout, ours.input_dropout, ours.weight_dropout) == (0.0, 0.4, 0.2)
    assert (ours.activation_regularisation, ours.temporal_activation_regularisation) == (0.0, 1.0)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_dropout_is_what_is_asked_for_and_otherwise_none(name: str):
    heads = None if "recurrent" in architecture(name).kind else 2
    plain, asked = (
        build_model(ModelConfig(architecture=name, width=16, layers=1, heads=heads, dropout=rate), 300, 32)
        for rate in (None, 0.25)
    )
    assert plain.config.dropout == (0.4 if name == "awd_lstm" else 0.0) and asked.config.dropout == 0.25


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("roberta", {"pad_id": "<|pad|>"}),
        ("t5", {"start_id": "<|pad|>"}),
        ("transformer", {"start_id": "<|pad|>"}),
        ("bart", {"start_id": "<|end|>", "end_id": "<|end|>", "pad_id": "<|pad|>"}),
        ("glm", {"start_id": "<|startofpiece|>", "blank_ids": ("[MASK]", "[sMASK]", "[gMASK]")}),
    ],
)
def test_networks_know_the_ids_of_the_vocabulary(name: str, expected: dict):
    vocabulary = tokenizers.train(["a text"], vocabulary_size=380, special=for_understanding("byte_bpe"))
    asked = ModelConfig(architecture=name, width=16, layers=1, heads=2)
    config = build_model(asked, 380, 32, ids=special_ids(asked, vocabulary)).config
    for field, token in expected.items():
        ids = tuple(vocabulary.id(each) for each in token) if isinstance(token, tuple) else vocabulary.id(token)
        assert getattr(config, field) == ids


def test_an_output_that_is_not_tied_has_weights_of_its_own():
    for name in ("bert", "t5", "transformer"):
        asked = ModelConfig(architecture=name, width=16)
        models = [build_model(dataclasses.replace(asked, tied=tied), 99, 8) for tied in (True, False)]
        tied, untied = (sum(each.numel() for each in model.parameters()) for model in models)
        assert untied - tied in (99 * 16, 2 * 99 * 16)


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "gpt_oss", "deepseek_v3", "grok1"])
def test_experts_are_few_and_share_the_usual_width(name: str) -> None:
    with torch.device("meta"):
        model = build_model(ModelConfig(architecture=name, width=96, layers=2, heads=3), 64, 32)
        asked = build_model(ModelConfig(architecture=name, width=96, heads=3, experts=4, chosen_experts=1), 64, 32)
    assert (model.config.experts, model.config.chosen_experts) == (8, 2)
    assert (asked.config.experts, asked.config.chosen_experts) == (4, 1)
    width = getattr(model.config, "expert_inner_width", None) or model.config.inner_width
    assert width == 256 // 2


def test_the_parts_of_modular_are_chosen() -> None:
    parts = PartsConfig(
        positions="alibi", attention="strided", norm="layer", memory=MemoryConfig(layers=(1,), half_keys=32)
    )
    with torch.device("meta"):
        model = build_model(ModelConfig(architecture="modular", width=96, layers=2, heads=3, parts=parts), 64, 32)
    config = model.config
    assert (config.positions, config.attention, config.norm, config.memory.layers) == (
        "alibi",
        "strided",
        "layer",
        (1,),
    )
    assert config.feedforward == "gated" and config.inner_width == 256
