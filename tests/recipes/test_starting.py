"""What a task's network starts from, and the settings that are usual for it."""

import pathlib

import pytest

from trivium.errors import ConfigError, Unsupported
from trivium.models import architecture
from trivium.models.bert import Bert, BertConfig
from trivium.models.bilstm import BiLSTM, BiLSTMConfig
from trivium.recipes.classification import ClassificationConfig
from trivium.recipes.classifier import ClassifierConfig
from trivium.recipes.encoder import EncoderShape, build_encoder, check_encoder, encoders_with, special_tokens
from trivium.recipes.starting import usual_epochs, usual_optimiser, usual_rate, usual_warmup
from trivium.tokenizers import SpecialTokens
from trivium.training.optimisers import OptimiserConfig


def bert(width: int) -> Bert:
    return Bert(BertConfig(vocabulary_size=9, width=width, layers=1, heads=2, inner_width=8, context_tokens=8))


def test_a_wide_transformer_learns_slowly_and_a_bilstm_as_asked():
    usual = OptimiserConfig(learning_rate=5e-3)
    assert usual_rate(bert(768)) == pytest.approx(5e-5) and usual_rate(bert(32)) == 3e-4
    assert usual_optimiser(usual, usual, bert(768)).learning_rate == pytest.approx(5e-5)
    asked = OptimiserConfig(learning_rate=1e-4)
    assert usual_optimiser(asked, usual, bert(768)) == asked
    lstm = BiLSTM(BiLSTMConfig(vocabulary_size=9, embedding_width=4, width=4))
    assert usual_optimiser(usual, usual, lstm) == usual
    assert (usual_warmup(bert(16), 200, 7), usual_warmup(lstm, 200, 7)) == (20, 7)
    assert (usual_epochs(None, None), usual_epochs(None, pathlib.Path()), usual_epochs(2, None)) == (10, 4, 2)


@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "modernbert", "xlnet", "t5", "bart", "ernie"])
@pytest.mark.parametrize("head", ["classification", "regression", "tagging", "span"])
def test_every_encoder_is_built_from_one_set_of_sizes(name: str, head: str):
    if name not in encoders_with(head):
        pytest.skip(f"{name} has no such head")
    shape = EncoderShape(width=32, layers=1)
    labels = {"classification": ("a", "b"), "regression": ("n",), "tagging": ("O", "X"), "span": ()}[head]
    entry = architecture(name)
    check_encoder(entry, shape)
    network = build_encoder(entry, shape, head=head, labels=labels, vocabulary_size=40, context_tokens=16)
    config = network.config
    assert (config.width, config.layers, config.heads, config.head, config.labels) == (32, 1, 1, head, labels)


def test_the_vocabulary_of_an_encoder_stands_around_texts():
    assert special_tokens("byte_bpe") == SpecialTokens(cls="[CLS]", sep="[SEP]", roles=())
    assert special_tokens("word").unk == "<unk>"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"fresh": True}, ConfigError, "fresh draws the weights of a base anew"),
        (
            {"base": pathlib.Path("b"), "model": ClassifierConfig(width=8)},
            ConfigError,
            "the model of the base cannot be changed",
        ),
        ({"base": pathlib.Path("b"), "method": "generative"}, ConfigError, "a base gets a head"),
        (
            {"regression": True, "model": ClassifierConfig(architecture="text_cnn")},
            Unsupported,
            r"(?s)text_cnn tells labels and no numbers.*bilstm, bert",
        ),
        ({"model": ClassifierConfig(architecture="bert", width=33, heads=2)}, ConfigError, "heads do not divide"),
        ({"model": ClassifierConfig(architecture="transformer")}, Unsupported, "does not classify by this method"),
        ({"method": "generative", "regression": True}, Unsupported, "does not classify by this method"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(settings: dict, error: type, message: str):
    with pytest.raises(error, match=message):
        ClassificationConfig(data=pathlib.Path("x"), **settings)
