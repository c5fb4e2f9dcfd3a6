"""Tagging on the body of a saved model, and by an encoder from nothing."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest

import trivium
from tests.recipes.bases import write_bert
from tests.recipes.resuming import assert_resumes_bit_for_bit
from trivium.errors import ConfigError, Unsupported
from trivium.recipes.tagging import TaggerConfig, TaggingConfig, TagVocabularyConfig, tagging
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig

TOWNS, PEOPLE, OTHERS = ["rome", "oslo", "bern"], ["anna", "ben", "carl"], ["went", "to", "saw", "and", "the"]
KIND = dict.fromkeys(TOWNS, "B-town") | dict.fromkeys(PEOPLE, "B-person")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    chance = random.Random(0)
    sentences = [[chance.choice(TOWNS + PEOPLE + OTHERS) for _ in range(chance.randint(4, 9))] for _ in range(120)]
    rows = ["".join(f"{word}\t{KIND.get(word, 'O')}\n" for word in words) for words in sentences]
    path = tmp_path_factory.mktemp("tags") / "data.conll"
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_bert(tmp_path_factory.mktemp("base") / "bert", [" ".join(TOWNS + PEOPLE + OTHERS)], context_tokens=8)


@pytest.fixture
def config(data: pathlib.Path, base: pathlib.Path, tmp_path: pathlib.Path) -> Callable[..., TaggingConfig]:
    def make(**changes: Any) -> TaggingConfig:
        settings: dict[str, Any] = {
            "data": data,
            "base": base,
            "output": tmp_path,
            "optimiser": OptimiserConfig(learning_rate=5e-3, weight_decay=0.0),
            "steps": 30,
        }
        return TaggingConfig(**settings | changes)

    return make


def test_a_base_learns_tags(config: Callable[..., TaggingConfig], base: pathlib.Path):
    run = tagging(config())
    model = trivium.load(run.folder)
    assert model.purpose == "tagging" and model.network.tag.crf is None
    words = ["anna", "went", "to", "rome", "and", "ben", "saw", "oslo", "the", "bern"]  # longer than the base holds
    assert model.tag([words])[0].tags == [KIND.get(word, "O") for word in words]
    told = json.loads((run.checkpoints / "last" / "trivium.json").read_text())
    assert told["parent"] == str(base) and told["architecture"] == "bert"
    assert "How well it does" in run.report.read_text("utf-8")


def test_fresh_is_the_shape_of_the_base(config: Callable[..., TaggingConfig], base: pathlib.Path):
    run = tagging(config(fresh=True, steps=2))
    network, start = trivium.load(run.folder).network, trivium.load(base).network
    assert network.config.width == start.config.width
    moved = network.state_dict()["embedding.weight"] - start.state_dict()["embedding.weight"]
    assert moved.abs().max() > 0.03


def test_an_encoder_is_trained_from_nothing(config: Callable[..., TaggingConfig]):
    shape = TaggerConfig(architecture="bert", width=16, layers=1)
    run = tagging(config(base=None, model=shape, vocabulary=TagVocabularyConfig(size=280), steps=2))
    model = trivium.load(run.folder)
    assert model.tokenizer.prefix_ids == [model.tokenizer.cls_id] and model.config.context_tokens == 512
    assert len(model.tag(["anna saw rome"])[0].tags) == 3


def test_a_resumed_run_is_the_run_that_never_stopped(
    config: Callable[..., TaggingConfig], monkeypatch: pytest.MonkeyPatch
):
    often = TrainingConfig(log_every_steps=1, evaluate_every_steps=3, checkpoint_every_steps=3)
    assert_resumes_bit_for_bit(lambda **how: tagging(config(steps=9, training=often, **how)), monkeypatch)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"vocabulary": TagVocabularyConfig(size=300)}, ConfigError, "the vocabulary of the base"),
        ({"base": None, "model": TaggerConfig(architecture="bert", crf=True)}, ConfigError, "bert has no crf"),
        ({"base": None, "model": TaggerConfig(heads=2)}, ConfigError, "bilstm has no heads"),
        ({"base": None, "model": TaggerConfig(architecture="gpt2")}, Unsupported, r"(?s)head for tags.*bilstm, bert"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(
    changes: dict[str, Any], error: type, message: str, config: Callable[..., TaggingConfig]
):
    with pytest.raises(error, match=message):
        config(**changes)
