"""The network of a language model: what is refused, and that what is asked for is what is built."""

import pytest

from trivium.errors import ConfigError, Unsupported
from trivium.models import ARCHITECTURES
from trivium.recipes.language_model import ModelConfig, RegularisationConfig, build_model

KINDS = ("decoder", "recurrent", "bidirectional recurrent")
LANGUAGE_MODELS = [each.name for each in ARCHITECTURES if each.kind in KINDS]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ModelConfig(architecture="lama"), "did you mean"),
        (ModelConfig(architecture="bert"), r"needs a language model(.|\n)*expected: " + ", ".join(LANGUAGE_MODELS)),
        (ModelConfig(embedding_width=16), "as wide as its blocks"),
        (ModelConfig(architecture="bilm", embedding_width=16), "as wide as its blocks"),
        (ModelConfig(architecture="lstm", heads=2), "no attention heads"),
        (ModelConfig(architecture="bilm", inner_width=2), "no attention heads"),
        (ModelConfig(width=33, heads=2), "heads do not divide the width"),
        (ModelConfig(layers=0), "at least 1"),
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
    heads = 2 if name in ("gpt2", "llama") else None
    plain, asked = (
        build_model(ModelConfig(architecture=name, width=16, layers=1, heads=heads, dropout=rate), 300, 32)
        for rate in (None, 0.25)
    )
    assert plain.config.dropout == (0.4 if name == "awd_lstm" else 0.0) and asked.config.dropout == 0.25
