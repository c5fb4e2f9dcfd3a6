"""Translation from files to a folder that translates: learning, resuming, and what is refused before any work."""

import dataclasses
import pathlib
import random
from typing import Any

import pytest

import trivium
from tests.recipes.resuming import killed_in_step
from trivium.errors import ConfigError, DataError, StorageError, Unsupported
from trivium.objectives.scheduled_sampling import Decay
from trivium.recipes.training import TrainingConfig
from trivium.recipes.translation import (
    ScheduledSamplingConfig,
    SharedVocabularyConfig,
    TranslationConfig,
    read_pairs,
    translation,
)
from trivium.recipes.translator import TranslatorConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig

WORDS = {"ein": "a", "hund": "dog", "katze": "cat", "rennt": "runs", "sieht": "sees", "rot": "red", "haus": "house"}
SIZES: dict[str, dict[str, Any]] = {
    "sutskever": {"layers": 2},
    "cho": {},
    "seq2seq": {},
    "luong": {"input_feeding": True},
    "transformer": {"layers": 1, "heads": 2, "inner_width": 48},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    """Sentences of three to five words, translated word by word."""
    folder, draw = tmp_path_factory.mktemp("pairs"), random.Random(0)
    sources = [" ".join(draw.choice(list(WORDS)) for _ in range(draw.randint(3, 5))) for _ in range(400)]
    targets = [" ".join(WORDS[word] for word in source.split()) for source in sources]
    for name, lines in (("a.de", sources), ("a.en", targets)):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "a.de", folder / "a.en"


def recipe(files: tuple[pathlib.Path, pathlib.Path], output: pathlib.Path, **changes: Any) -> TranslationConfig:
    settings: dict[str, Any] = {
        "source": files[0],
        "target": files[1],
        "output": output,
        "vocabulary": SharedVocabularyConfig(kind="word", size=40),
        "model": TranslatorConfig(width=32, dropout=0.0),
        "rows": 8,
        "label_smoothing": 0.0,
        "optimiser": OptimiserConfig(learning_rate=1e-2, weight_decay=0.0),
        "schedule": ScheduleConfig(kind="constant", warmup_steps=2),
        "training": TrainingConfig(log_every_steps=2, evaluate_every_steps=4, checkpoint_every_steps=4),
        "steps": 8,
    }
    return TranslationConfig(**settings | changes)


def test_what_it_learns_it_translates(files: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path) -> None:
    seldom = TrainingConfig(evaluate_every_steps=60, checkpoint_every_steps=200)
    run = translation(recipe(files, tmp_path, rows=16, steps=180, training=seldom, schedule=ScheduleConfig()))
    model = trivium.load(run.folder)
    answers = model.generate(["ein hund sieht ein haus", "katze rennt rot"], max_new_tokens=10)
    assert [answer.text for answer in answers] == ["a dog sees a house", "cat runs red"]
    assert answers[0].settings.beams == 5
    assert model.origin is not None and model.origin.facts()["objective"] == "translation"
    assert model.origin.facts()["pairs"] > 300


@pytest.mark.parametrize("name", SIZES)
def test_every_architecture_trains_and_opens(
    files: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path, name: str
) -> None:
    model = TranslatorConfig(architecture=name, width=16, dropout=0.1, **SIZES[name])
    run = translation(recipe(files, tmp_path, model=model))
    losses = [row["validation_loss"] for row in run.metrics() if row["validation_loss"] is not None]
    assert len(losses) == 2 and losses[1] < losses[0]
    loaded = trivium.load(run.folder)
    assert loaded.architecture.name == name
    assert loaded.generate(["ein hund"], max_new_tokens=3)[0].token_ids


@pytest.mark.parametrize(
    "sampled",
    [ScheduledSamplingConfig(), ScheduledSamplingConfig(decay="linear", k=0.5)],
    ids=["forced", "scheduled"],
)
def test_a_stopped_run_goes_on_bit_for_bit(
    files: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    sampled: ScheduledSamplingConfig,
) -> None:
    asked = recipe(
        files, tmp_path, scheduled_sampling=sampled, label_smoothing=0.1, model=TranslatorConfig(width=16, dropout=0.3)
    )
    whole = translation(dataclasses.replace(asked, run="whole"))
    with killed_in_step(monkeypatch, 7):  # two steps after the checkpoint
        translation(dataclasses.replace(asked, run="killed"))
    resumed = translation(dataclasses.replace(asked, run="killed", resume=True))
    told = [[(row["step"], row["loss"], row["validation_loss"]) for row in run.metrics()] for run in (whole, resumed)]
    assert told[0] == told[1]
    weights = [(run.checkpoints / "last" / "model.safetensors").read_bytes() for run in (whole, resumed)]
    assert weights[0] == weights[1]


def test_scheduled_sampling_is_set_as_published() -> None:
    assert ScheduledSamplingConfig().schedule() is None
    assert ScheduledSamplingConfig(decay="inverse_sigmoid").schedule() == Decay()
    with pytest.raises(ConfigError, match="k does not fit"):
        ScheduledSamplingConfig(decay="exponential", k=2.0)
    with pytest.raises(ConfigError, match="no scheduled sampling to set"):
        ScheduledSamplingConfig(k=0.5)


def test_held_out_pairs_are_not_trained_on(files: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path) -> None:
    training, held_out = read_pairs(recipe(files, tmp_path))
    assert held_out and not {pair[0] for pair in held_out} & {pair[0] for pair in training}
    for name, file in zip("ab", files, strict=True):
        (tmp_path / name).write_text("\n".join(file.read_text().split("\n")[:20]) + "\n")
    given = recipe(files, tmp_path, validation_source=tmp_path / "a", validation_target=tmp_path / "b")
    training, held_out = read_pairs(given)
    assert len(held_out) == 20 and not {pair[0] for pair in held_out} & {pair[0] for pair in training}
    with pytest.raises(DataError, match="every source is in the validation"):
        read_pairs(recipe(files, tmp_path, validation_source=files[0], validation_target=files[1]))


def test_what_is_too_long_is_left_out_on_both_sides_and_told(
    files: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One held-out pair of a million tokens must not need the memory of a batch of them."""
    for name, word in (("a", "hund "), ("b", "dog ")):
        (tmp_path / name).write_text(f"{word * 3}x\n{word * 3000}\n")
    held_out = {"validation_source": tmp_path / "a", "validation_target": tmp_path / "b"}
    run = translation(recipe(files, tmp_path, steps=2, **held_out))
    assert run.metrics()[-1]["validation_loss"] is not None
    assert "1 of 2 pairs to measure on are longer than 100 tokens" in capsys.readouterr().err
    page = run.report.read_text("utf-8")
    assert "hund hund hund x" in page and "hund " * 100 not in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "rows must be at least 1"),
        ({"epochs": 0.0}, "epochs must be"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
        ({"beams": 0}, "beams must be at least 1"),
        ({"validation_target": pathlib.Path("x")}, "validation_target without its source"),
        ({"context_tokens": 2}, "every pair is longer"),
        ({"beams": 101}, "so many beams gain nothing"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    files: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        translation(recipe(files, tmp_path, **changes))
    assert not (tmp_path / "translation").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "gpt2"}, "translation needs an encoder and a decoder"),
        ({"architecture": "bert"}, "translation needs an encoder and a decoder"),
        ({"architecture": "bart", "tied": False}, "bart has no tied"),
        ({"architecture": "t5", "width": 30, "heads": 4}, "heads do not divide"),
        ({"architecture": "cho", "layers": 2}, "cho has no layers"),
        ({"architecture": "luong", "heads": 2}, "luong has no heads"),
        ({"architecture": "transformer", "input_feeding": True}, "transformer has no input_feeding"),
        ({"architecture": "transformer", "width": 30, "heads": 4}, "heads do not divide"),
        ({"dropout": 1.0}, "dropout must be"),
    ],
)
def test_a_network_that_cannot_be_is_refused_before_the_data_is_read(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, Unsupported), match=message):
        TranslationConfig(source=pathlib.Path("absent"), model=TranslatorConfig(**settings))


def test_a_run_is_not_written_over(files: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path) -> None:
    run = translation(recipe(files, tmp_path, steps=2))
    before = (run.checkpoints / "best" / "model.safetensors").read_bytes()
    with pytest.raises(StorageError, match="there is a run in this folder"):
        translation(recipe(files, tmp_path, steps=4))
    assert (run.checkpoints / "best" / "model.safetensors").read_bytes() == before
