"""Classification on the body of a saved model, of texts, of pairs, and of numbers."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest

import trivium
from tests.recipes.bases import write_bert
from tests.recipes.resuming import assert_resumes_bit_for_bit
from trivium.errors import DataError, UserError
from trivium.recipes.classification import ClassificationConfig, LabelVocabularyConfig, classification
from trivium.recipes.classifier import ClassifierConfig
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run

NAMES = ["anna", "ben", "carl", "dora"]


def write_pairs(path: pathlib.Path, count: int = 160, seed: int = 0) -> pathlib.Path:
    """Two texts, of which the second decides: it begins with a name, or does not; their number is about 1 or -1."""
    chance = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            first, second = chance.sample(NAMES, 2)
            named = chance.random() < 0.5
            place = chance.choice(["here", "there", "away"])
            texts = {"sentence1": f"{first} is {place}", "sentence2": f"{second if named else 'it'} is {place}"}
            record = {
                **texts,
                "label": "name" if named else "thing",
                "score": (1.0 if named else -1.0) + 0.1 * len(place),
            }
            file.write(json.dumps(record) + "\n")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.jsonl")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    words = [f"{name} is here there away it" for name in NAMES]
    return write_bert(tmp_path_factory.mktemp("base") / "bert", words, context_tokens=16)


@pytest.fixture
def config(data: pathlib.Path, base: pathlib.Path, tmp_path: pathlib.Path) -> Callable[..., ClassificationConfig]:
    def make(**changes: Any) -> ClassificationConfig:
        settings: dict[str, Any] = {
            "data": data,
            "base": base,
            "output": tmp_path,
            "text_field": "sentence1",
            "second_field": "sentence2",
            "rows": 16,
            "optimiser": OptimiserConfig(learning_rate=3e-3, beta2=0.99, weight_decay=0.0),
            "steps": 60,
            "training": TrainingConfig(evaluate_every_steps=60, checkpoint_every_steps=60),
        }
        return ClassificationConfig(**settings | changes)

    return make


def described(run: Run) -> dict[str, Any]:
    return json.loads((run.checkpoints / "best" / "trivium.json").read_text())


def test_pairs_are_told_apart_on_a_base(config: Callable[..., ClassificationConfig], base: pathlib.Path):
    run = classification(config())
    model = trivium.load(run.folder)
    assert model.purpose == "classification" and model.labels == ("name", "thing")
    asked = [((f"{name} is here", f"{said} is away"), said) for name in NAMES for said in ("it", *NAMES)]
    found = model.classify([texts for texts, _ in asked])
    right = [(one.label == "thing") == (said == "it") for one, (_, said) in zip(found, asked, strict=True)]
    assert sum(right) >= 18
    told = described(run)
    assert told["parent"] == str(base) and told["architecture"] == "bert" and told["context_tokens"] == 16
    assert (model.tokenizer.special_tokens) == trivium.load(base).tokenizer.special_tokens
    page = run.report.read_text("utf-8")
    assert "How well it does" in page


def test_a_number_is_estimated(config: Callable[..., ClassificationConfig]):
    run = classification(config(regression=True, label_field="score", steps=100))
    model = trivium.load(run.folder)
    assert model.purpose == "regression" and described(run)["objective"] == "regression"
    name, thing = model.regress([("anna is here", "dora is here"), ("anna is here", "it is here")])
    assert name > thing + 1.0
    assert "spearman" in run.report.read_text("utf-8")


def test_fresh_draws_other_weights_of_the_same_shape(config: Callable[..., ClassificationConfig], base: pathlib.Path):
    short = {"steps": 2}
    based, fresh = classification(config(**short)), classification(config(run="fresh", fresh=True, **short))
    ours, theirs = trivium.load(based.folder).network, trivium.load(fresh.folder).network
    assert ours.config == theirs.config
    start = trivium.load(base).network.state_dict()["embedding.weight"]
    moved, drawn = (net.state_dict()["embedding.weight"] - start for net in (ours, theirs))
    assert moved.abs().max() < 0.02 < drawn.abs().max()
    told = described(fresh)
    assert told["shape_of"] == str(base) and "parent" not in told
    assert fresh.config["optimiser"]["learning_rate"] == 3e-3


@pytest.mark.parametrize(
    ("architecture", "changes"), [("bilstm", {}), ("text_cnn", {}), ("bilstm", {"regression": True})]
)
def test_classifiers_without_attention_read_pairs(
    architecture: str, changes: dict[str, Any], config: Callable[..., ClassificationConfig]
):
    shape = ClassifierConfig(architecture=architecture, width=32, dropout=0.0)
    label = {"label_field": "score"} if changes else {}
    optimiser = OptimiserConfig(learning_rate=1e-2, weight_decay=0.0)
    run = classification(config(base=None, model=shape, optimiser=optimiser, steps=120, **changes, **label))
    model = trivium.load(run.folder)
    pairs = [("anna is here", "dora is here"), ("anna is here", "it is here")]
    row = model.tokenizer.encode_joined(pairs[:1])[0]
    assert row.ids[0] == model.tokenizer.cls_id and row.ids.count(model.tokenizer.sep_id) == 2
    if changes:
        name, thing = model.regress(pairs)
        assert name > thing + 1.0
    else:
        assert [one.label for one in model.classify(pairs)] == ["name", "thing"]
        with pytest.raises(DataError, match="trained on pairs of texts, and here is one alone"):
            model.classify(["anna is here"])


def test_an_encoder_is_trained_from_nothing(config: Callable[..., ClassificationConfig]):
    shape = ClassifierConfig(architecture="bert", width=32, layers=2)
    vocabulary = LabelVocabularyConfig(kind="wordpiece", size=60)
    run = classification(config(base=None, model=shape, vocabulary=vocabulary, steps=2, optimiser=OptimiserConfig()))
    model = trivium.load(run.folder)
    assert model.tokenizer.prefix_ids == [model.tokenizer.cls_id]
    assert model.config.token_types == 2 and model.config.context_tokens == 256
    assert model.classify([("anna is here", "it is anna")])[0].label in ("name", "thing")


def test_the_rate_and_the_length_of_fine_tuning_are_the_usual_ones(config: Callable[..., ClassificationConfig]):
    given = config(steps=None, epochs=0.5)
    usual = ClassificationConfig(data=given.data).optimiser
    run = classification(config(steps=None, epochs=0.5, rows=20, optimiser=usual))
    assert run.config["optimiser"]["learning_rate"] == 3e-4 and run.config["optimiser"]["weight_decay"] == 0.01
    assert run.config["steps"] == 4 and run.config["schedule"]["warmup_steps"] == 1


def test_a_resumed_run_is_the_run_that_never_stopped(
    config: Callable[..., ClassificationConfig], monkeypatch: pytest.MonkeyPatch
):
    often = TrainingConfig(log_every_steps=1, evaluate_every_steps=3, checkpoint_every_steps=3)
    assert_resumes_bit_for_bit(
        lambda **how: classification(config(steps=9, rows=8, training=often, **how)), monkeypatch
    )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"second_field": "hypothesis"}, DataError, "no field `hypothesis`"),
        ({"regression": True}, DataError, r"(?s)no number.*'(name|thing)'"),
        ({"base": pathlib.Path("nowhere")}, UserError, "nowhere"),
        ({"context_tokens": 3}, DataError, "no text fits"),
    ],
)
def test_what_cannot_be_used_leaves_no_run(
    changes: dict[str, Any],
    error: type,
    message: str,
    config: Callable[..., ClassificationConfig],
    tmp_path: pathlib.Path,
):
    with pytest.raises(error, match=message):
        classification(config(**changes))
    assert not (tmp_path / "classification").exists()
