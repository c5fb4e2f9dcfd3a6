"""Tagging through its recipe: learnt from columns, used from the folder, resumed bit for bit, refused in time."""

import dataclasses
import json
import pathlib

import pytest

import trivium
from tests.recipes.resuming import killed_in_step
from trivium import config as configuration
from trivium.checkpoints.tensors import TensorFile
from trivium.errors import ConfigError, DataError, StorageError, Unsupported, UserError
from trivium.evaluation.metrics.entity_f1 import entity_f1
from trivium.lm.tagging import tag_words
from trivium.recipes.tagging import (
    TaggerConfig,
    TaggingConfig,
    TagVocabularyConfig,
    encode_sentences,
    learn_vocabulary,
    read_sentences,
    tagging,
)
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

_NAMES, _PLACES = ("Ada", "Grace", "Alan", "Emmy"), ("London", "Rome", "New York")


def sentences(count: int = 60) -> list[tuple[list[str], list[str]]]:
    """Somebody was born somewhere; what a name is told by is what follows it."""
    made = []
    for number in range(count):
        name, place = _NAMES[number % 4], _PLACES[number % 3].split(" ")
        words = [name, "was", "born", "in", *place, "on", "day", str(number)]
        tags = ["B-person", "O", "O", "O", "B-place", *["I-place"] * (len(place) - 1), "O", "O", "O"]
        made.append((words, tags))
    return made


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("text") / "born.conll"
    lines = ["".join(f"{word}\t{tag}\n" for word, tag in zip(*pair, strict=True)) for pair in sentences()]
    path.write_text("\n".join(lines))
    return path


def recipe(data: pathlib.Path, output: pathlib.Path, **changes) -> TaggingConfig:
    settings = {
        "data": data,
        "output": output,
        "vocabulary": TagVocabularyConfig(kind="word", size=None),
        "model": TaggerConfig(embedding_width=12, width=16, dropout=0.2),
        "rows": 8,
        "schedule": ScheduleConfig(kind="linear", warmup_steps=1),
        "training": TrainingConfig(log_every_steps=1, evaluate_every_steps=4, checkpoint_every_steps=3),
        "steps": 8,
    }
    return TaggingConfig(**(settings | changes))


def final_weights(run: Run) -> dict:
    return TensorFile(run.checkpoints / "last" / "model.safetensors").read_all()


@pytest.mark.parametrize("crf", [True, False])
def test_what_was_learnt_is_there_in_the_folder(crf: bool, columns: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = recipe(
        columns,
        tmp_path,
        model=TaggerConfig(embedding_width=16, width=32, dropout=0.0, crf=crf),
        optimiser=OptimiserConfig(learning_rate=0.03, weight_decay=0.0),
        training=TrainingConfig(evaluate_every_steps=100, checkpoint_every_steps=100),
        rows=30,
        steps=60,
    )
    run = tagging(config)
    model = trivium.load(run.folder)
    given = sentences()
    found = tag_words(model.network, model.tokenizer, [words for words, _ in given])
    assert entity_f1(found, [tags for _, tags in given])["f1"] == 1.0
    assert "tag" in model.capabilities
    assert "How well it does" in run.report.read_text("utf-8")
    (tagging_of_one,) = model.tag([["Ada", "was", "born", "in", "Rome", "on", "day", "7"]])
    assert [(span.label, span.text) for span in tagging_of_one.spans] == [("person", "Ada"), ("place", "Rome")]


def test_the_saved_model_says_what_it_is(columns: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run = tagging(recipe(columns, tmp_path, steps=2))
    said = json.loads((run.checkpoints / "last" / "trivium.json").read_text())
    labels = ["O", "B-person", "I-person", "B-place", "I-place"]
    assert (said["objective"], said["labels"], said["scheme"]) == ("tagging", labels, "iob2")
    assert len(said["data_fingerprint"]) == 64
    described = json.loads((run.checkpoints / "last" / "config.json").read_text())
    assert [described["id2label"][str(number)] for number in range(5)] == labels
    again = configuration.from_yaml(TaggingConfig, run.folder / "config.yaml")
    assert again == dataclasses.replace(recipe(columns, tmp_path, steps=2), output=pathlib.Path("runs"))


def test_a_resumed_run_is_the_run_that_never_stopped(
    columns: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tagging(recipe(columns, tmp_path, run="whole"))

    with killed_in_step(monkeypatch, 6):
        tagging(recipe(columns, tmp_path, run="killed"))
    resumed = tagging(recipe(columns, tmp_path, run="killed", resume=True))
    expected, found = final_weights(whole), final_weights(resumed)
    assert expected.keys() == found.keys()
    assert all(expected[name].equal(found[name]) for name in expected)
    losses = [[(row["step"], row["loss"], row["validation_loss"]) for row in run.metrics()] for run in (whole, resumed)]
    assert losses[0] == losses[1]


def test_sentences_are_shared_out_and_every_tag_is_known(columns: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shared = read_sentences(recipe(columns, tmp_path))
    assert 1 <= len(shared.held_out) <= 15
    assert len(shared.held_out) + len(shared.training) == 60
    assert not {s.words for s in shared.held_out} & {s.words for s in shared.training}
    other = tmp_path / "dev.conll"
    other.write_text("Ada\tB-group\n")
    named = read_sentences(recipe(columns, tmp_path, validation=other))
    assert (len(named.training), len(named.held_out)) == (60, 1)
    assert {"B-group", "I-group"} <= set(named.labels)


def test_nothing_is_learnt_from_what_is_measured_on(columns: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shared = read_sentences(recipe(columns, tmp_path))
    tokenizer = learn_vocabulary(TagVocabularyConfig(kind="character", size=None), shared.training)
    spelt = {character for sentence in shared.training for word in sentence.words for character in word}
    assert tokenizer.vocabulary_size == 3 + 1 + len(spelt | {" "})


def test_long_sentences_are_cut_and_no_tag_is_lost(columns: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shared = read_sentences(recipe(columns, tmp_path))
    tokenizer = learn_vocabulary(TagVocabularyConfig(kind="word", size=None), shared.training)
    examples = encode_sentences(tokenizer, shared.training, shared.labels, 4)
    assert max(len(example.text.ids) for example in examples) == 4
    tags = [shared.labels[tag] for example in examples for tag in example.tags]
    assert tags == [tag for sentence in shared.training for tag in sentence.tags]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": TaggerConfig(architecture="gpt2")}, Unsupported, "head for tags"),
        ({"model": TaggerConfig(architecture="bilsmt")}, Unsupported, "did you mean 'bilstm'"),
        ({"model": TaggerConfig(width=7)}, ConfigError, "both directions"),
        ({"model": TaggerConfig(layers=0)}, ConfigError, "layers must be at least 1"),
        ({"model": TaggerConfig(dropout=1.0)}, ConfigError, "dropout must be"),
        ({"epochs": 0.0}, ConfigError, "epochs must be"),
        ({"rows": 0}, ConfigError, "rows must be"),
        ({"run": "a/b"}, ConfigError, "not a plain name"),
    ],
)
def test_what_is_impossible_is_told_before_any_work(changes: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        recipe(pathlib.Path("nowhere"), pathlib.Path("nowhere"), **changes)


def test_a_vocabulary_without_a_size() -> None:
    with pytest.raises(ConfigError, match="needs a size"):
        TagVocabularyConfig(kind="unigram", size=None)


def test_a_model_that_does_not_fit(columns: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="does not fit into memory"):
        tagging(recipe(columns, tmp_path, model=TaggerConfig(width=10_000_000)))


@pytest.mark.parametrize(
    ("text", "error"),
    [("Ada\n", DataError), ("Ada\tB-x\n", DataError), ("Ada\tB-x\n\nRome\tI-x\n", DataError), (None, UserError)],
)
def test_data_that_cannot_be_used_leaves_no_run(text: str | None, error: type, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bad.conll"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error):
        tagging(recipe(path, tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_one_tag_is_nothing_to_learn(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "plain.conll"
    path.write_text("\n".join(f"word\tO\nnumber{n}\tO\n" for n in range(60)))
    with pytest.raises(DataError, match="there is only one tag"):
        read_sentences(recipe(path, tmp_path))


def test_a_sentence_that_is_measured_on_is_left_out_of_training(columns: pathlib.Path, tmp_path: pathlib.Path) -> None:
    held_out = tmp_path / "some.conll"
    held_out.write_text("\n\n".join(columns.read_text().split("\n\n")[:5]) + "\n")
    found = read_sentences(recipe(columns, tmp_path, validation=held_out))
    assert len(found.held_out) == 5 and len(found.training) == 55
    with pytest.raises(DataError, match="every sentence is in the validation"):
        read_sentences(recipe(columns, tmp_path, validation=columns))


def test_a_run_is_not_overwritten(columns: pathlib.Path, tmp_path: pathlib.Path) -> None:
    tagging(recipe(columns, tmp_path, steps=2))
    with pytest.raises(StorageError, match="run in this folder already"):
        tagging(recipe(columns, tmp_path, steps=2))
