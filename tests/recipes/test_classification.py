"""Classification through its recipe: each method learns, tells what it is, resumes bit for bit, and refuses in time."""

import json
import pathlib
import random
from typing import Any

import pytest

import trivium
from tests.recipes.resuming import killed_in_step
from trivium.checkpoints.tensors import TensorFile
from trivium.data.labelled import LabelledText, stratified_split
from trivium.errors import ConfigError, DataError, UserError
from trivium.lm.classifying import classify_texts, label_token
from trivium.lm.trace import trace
from trivium.recipes.classification import ClassificationConfig, LabelVocabularyConfig, classification, read_texts
from trivium.recipes.classifier import ClassifierConfig
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run

WORDS = {"good": ["good", "fine", "lovely", "great"], "bad": ["bad", "poor", "awful", "dull"]}
COMMON = ["the", "film", "was", "and", "it"]


def write_reviews(path: pathlib.Path, count: int = 200, seed: int = 0) -> pathlib.Path:
    """Texts of common words and of those of their label; three in five are good."""
    chance = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            label = "good" if chance.random() < 0.6 else "bad"
            words = [
                chance.choice(COMMON if chance.random() < 0.5 else WORDS[label]) for _ in range(chance.randint(3, 9))
            ]
            words.append(chance.choice(WORDS[label]))
            file.write(json.dumps({"text": " ".join(words), "label": label}) + "\n")
    return path


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_reviews(tmp_path_factory.mktemp("reviews") / "reviews.jsonl")


def recipe(data: pathlib.Path, output: pathlib.Path, **changes: Any) -> ClassificationConfig:
    settings: dict[str, Any] = {
        "data": data,
        "output": output,
        "model": ClassifierConfig(width=32, dropout=0.1),
        "rows": 16,
        "context_tokens": 16,
        "optimiser": OptimiserConfig(learning_rate=0.01),
        "steps": 40,
    }
    return ClassificationConfig(**settings | changes)


def described(run: Run) -> dict[str, Any]:
    return json.loads((run.checkpoints / "best" / "trivium.json").read_text())


def accuracy(run: Run, data: pathlib.Path) -> float:
    model = trivium.load(run.folder)
    told = described(run)
    asked = [json.loads(line) for line in data.read_text().splitlines()]
    found = classify_texts(model.network, model.tokenizer, [each["text"] for each in asked], told)
    return sum(told["labels"][best] == each["label"] for (best, _), each in zip(found, asked, strict=True)) / len(asked)


@pytest.mark.parametrize(
    ("method", "architecture"),
    [
        ("head", None),
        ("head", "text_cnn"),
        ("discriminative", "gru"),
        ("discriminative", "llama"),
        ("generative", None),
    ],
)
def test_each_method_learns_what_tells_the_labels_apart(
    method: str, architecture: str | None, reviews: pathlib.Path, tmp_path: pathlib.Path
):
    model = ClassifierConfig(architecture=architecture, width=32, dropout=0.1)
    run = classification(recipe(reviews, tmp_path, method=method, model=model))
    assert accuracy(run, write_reviews(tmp_path / "new.jsonl", 100, seed=1)) >= 0.9
    told = described(run)
    assert (told["objective"], told["method"], told["labels"]) == ("classification", method, ["bad", "good"])
    assert told["examples"] == 180 and told["context_tokens"] == 16 and sum(told["prior"]) == pytest.approx(1)
    assert told["prior"][1] == pytest.approx(0.6, abs=0.1)
    assert trace(run.folder).state == "verified"
    page = run.report.read_text("utf-8")
    assert "How well it does" in page and ("What it writes" in page) == (method == "generative")


def test_a_generative_model_writes_texts_of_the_label_it_is_given(reviews: pathlib.Path, tmp_path: pathlib.Path):
    run = classification(recipe(reviews, tmp_path, method="generative", steps=80))
    model = trivium.load(run.folder)
    prompts = [[model.tokenizer.id(label_token(label))] for label in WORDS]
    texts = model.generate(prompts, max_new_tokens=16, temperature=1.0, n=20, seed=0)
    for label, written in (("good", texts[:20]), ("bad", texts[20:])):
        words = [word for text in written for word in text.text.split() if word not in COMMON]
        assert len(words) > 20 and sum(word in WORDS[label] for word in words) > 0.9 * len(words)
        assert sum(text.finish_reason == "stop" for text in written) > 10


def test_a_head_has_no_tokens_of_labels_and_its_configuration_names_them(reviews: pathlib.Path, tmp_path: pathlib.Path):
    run = classification(recipe(reviews, tmp_path, steps=2))
    model = trivium.load(run.folder)
    assert model.tokenizer.id(label_token("good")) is None
    assert model.config.labels == ("bad", "good")


def final_weights(run: Run) -> dict:
    file = TensorFile(run.checkpoints / "last" / "model.safetensors")
    return {name: file.read(name) for name in file.names}


@pytest.mark.parametrize("method", ["head", "generative"])
def test_a_resumed_run_is_the_run_that_never_stopped(
    method: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    often = TrainingConfig(log_every_steps=1, evaluate_every_steps=3, checkpoint_every_steps=3)
    changes = {"method": method, "steps": 9, "training": often}
    data = write_reviews(tmp_path / "data.jsonl", 60)
    whole = classification(recipe(data, tmp_path, run="whole", **changes))

    with killed_in_step(monkeypatch, 6):
        classification(recipe(data, tmp_path, run="killed", **changes))
    resumed = classification(recipe(data, tmp_path, run="killed", resume=True, **changes))
    expected, found = final_weights(whole), final_weights(resumed)
    assert expected.keys() == found.keys() and all(expected[name].equal(found[name]) for name in expected)
    losses = [[(row["step"], row["loss"], row["validation_loss"]) for row in run.metrics()] for run in (whole, resumed)]
    assert losses[0] == losses[1]
    write_reviews(data, 60, seed=5)
    with pytest.raises(DataError, match="not the ones it was trained on"):
        classification(recipe(data, tmp_path, run="killed", resume=True, **changes))


def test_without_a_number_of_steps_there_are_whole_passes(reviews: pathlib.Path, tmp_path: pathlib.Path):
    run = classification(recipe(reviews, tmp_path, steps=None, epochs=2))
    assert run.config["steps"] == run.metrics()[-1]["step"] == 2 * 12  # 180 texts in batches of at most 16


def test_a_label_that_the_split_takes_away_is_refused(tmp_path: pathlib.Path):
    """Copies stand on one side, so a label that has only copies of one held-out text is not in training at all."""
    texts = [f"text {number}" for number in range(20)]
    labelled = [LabelledText(text=text, label="a", where="") for text in texts]
    held_out = [text.text for text in stratified_split(labelled, 0.1)[1]]
    rows = [f"{text},a" for text in texts] + [f"{text},b" for text in held_out]
    (tmp_path / "d.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"a label has only texts that another label has too.*\n  received: b"):
        read_texts(ClassificationConfig(data=tmp_path / "d.csv"))


def test_long_texts_are_cut_and_counted(
    reviews: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    classification(recipe(reviews, tmp_path, steps=1, context_tokens=16))
    assert "are cut there" not in capsys.readouterr().err
    long = tmp_path / "long.jsonl"
    long.write_text(reviews.read_text() + json.dumps({"text": "good film " * 20, "label": "good"}) + "\n")
    held = write_reviews(tmp_path / "held.jsonl", 10, seed=3)
    classification(recipe(long, tmp_path, run="long", validation=held, steps=1))
    error = capsys.readouterr().err
    assert "1 of 201 texts are longer than 16 tokens and are cut there; context_tokens 41 would keep" in error


def test_what_is_measured_on_is_not_trained_on(
    reviews: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    held = tmp_path / "held.jsonl"
    copied = [json.loads(line) for line in reviews.read_text().splitlines()[:3]]
    held.write_text("".join(json.dumps({**each, "text": each["text"].upper()}) + "\n" for each in copied))
    texts = read_texts(recipe(reviews, tmp_path, validation=held), tell=True)
    assert len(texts.held_out) == 3 and len(texts.training) == 197
    assert "3 of 200 texts are in the validation too and are left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": "generative", "model": ClassifierConfig(architecture="bilstm")},
            r"(?s)by this method.*method to head",
        ),
        (
            {"method": "discriminative", "model": ClassifierConfig(architecture="bilm")},
            "does not classify by this method",
        ),
        ({"model": ClassifierConfig(architecture="lstm")}, r"(?s)by this method.*bilstm, text_cnn, bert"),
        ({"model": ClassifierConfig(architecture="bilsm")}, "no architecture is called"),
        ({"model": ClassifierConfig(width=33)}, "both directions together"),
        ({"model": ClassifierConfig(architecture="text_cnn", layers=2)}, "text_cnn has one layer"),
        ({"model": ClassifierConfig(heads=2)}, "no attention heads"),
        (
            {"method": "generative", "model": ClassifierConfig(architecture="gpt2", width=33, heads=2)},
            "heads do not divide",
        ),
        ({"context_tokens": 1}, "context_tokens must be at least 2"),
        ({"rows": 0}, "rows must be at least 1"),
        ({"epochs": float("nan")}, "epochs must be"),
        ({"run": "a/b"}, "not a plain name"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(changes: dict, message: str, tmp_path: pathlib.Path):
    with pytest.raises(UserError, match=message):
        recipe(tmp_path / "none.jsonl", tmp_path, **changes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "dropout must be"),
        ({"width": 0}, "width must be at least 1"),
    ],
)
def test_networks_that_cannot_be_are_refused_at_once(settings: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        ClassifierConfig(**settings)


def test_vocabularies_that_cannot_be_are_refused_at_once():
    with pytest.raises(ConfigError, match="needs a size"):
        LabelVocabularyConfig(kind="byte_bpe", size=None)
    with pytest.raises(ConfigError, match="lowercase is for words"):
        LabelVocabularyConfig(kind="byte_bpe", lowercase=True)


@pytest.mark.parametrize(
    ("lines", "changes", "message"),
    [
        (['{"text": "a b", "label": "x"}'] * 3, {}, r"(?s)only one label.*'x'"),
        (
            [f'{{"text": "a b", "label": "x{n}"}}' for n in range(9)],
            {},
            r"(?s)label of their own.*9 labels for 9 texts",
        ),
        (['{"text": "a b", "label": "x"}', '{"text": "b c"}'], {}, r"(?s)no label.*\.jsonl:2"),
        (None, {"validation": "strange"}, r"(?s)a label that no training text has.*held\.jsonl:1.*'odd'"),
        (None, {"vocabulary": LabelVocabularyConfig(size=3)}, "vocabulary"),
        (None, {"model": ClassifierConfig(width=2_000_000)}, "does not fit into memory"),
        (None, {"method": "generative", "model": ClassifierConfig(width=2_000_000)}, "does not fit into memory"),
    ],
)
def test_data_that_cannot_be_used_leaves_no_run(
    lines: list[str] | None, changes: dict, message: str, reviews: pathlib.Path, tmp_path: pathlib.Path
):
    data = reviews
    if lines is not None:
        data = tmp_path / "data.jsonl"
        data.write_text("\n".join(lines))
    if changes.get("validation"):
        held = tmp_path / "held.jsonl"
        held.write_text('{"text": "a b", "label": "odd"}\n')
        changes = changes | {"validation": held}
    with pytest.raises(UserError, match=message):
        classification(recipe(data, tmp_path, **changes))
    assert not (tmp_path / "classification" / "config.yaml").exists()
