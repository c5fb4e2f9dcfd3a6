"""Pre-training through its recipe: every architecture and reading, minutes, refusals, and resumed runs bit for bit."""

import dataclasses
import json
import pathlib

import pytest

import trivium
from tests.recipes.resuming import killed_in_step
from tests.recipes.texts import write_notes
from trivium import config as configuration
from trivium.checkpoints.tensors import TensorFile
from trivium.cli import arguments
from trivium.cli.main import find_verb
from trivium.data.prepared import open_prepared
from trivium.errors import ConfigError, StorageError, UserError
from trivium.models import ARCHITECTURES
from trivium.models import architecture as trivium_architecture
from trivium.recipes.language_model import ModelConfig, build_model
from trivium.recipes.prepare import PrepareConfig, prepare
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, VocabularyConfig, pretrain, pretraining_job
from trivium.recipes.training import TrainingConfig
from trivium.training.learners.supervised import SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

LEFT_TO_RIGHT = [each.name for each in ARCHITECTURES if each.kind in ("decoder", "recurrent")]


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_notes(tmp_path_factory.mktemp("text") / "notes")


@pytest.fixture(scope="module")
def prepared(notes: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("prepared") / "data"
    prepare(PrepareConfig(sources=(str(notes),), output=folder, vocabulary_size=300), silent=True)
    return folder


def recipe(notes: pathlib.Path, output: pathlib.Path, **changes) -> PretrainConfig:
    settings = {
        "data": notes,
        "output": output,
        "vocabulary": VocabularyConfig(size=300),
        "model": ModelConfig(width=32, layers=1, heads=2, dropout=0.1),
        "batch": BatchConfig(rows=4, context_tokens=32),
        "schedule": ScheduleConfig(kind="wsd", warmup_steps=1),
        "training": TrainingConfig(log_every_steps=1, evaluate_every_steps=4, checkpoint_every_steps=3),
        "steps": 8,
    }
    return PretrainConfig(**(settings | changes))


def final_weights(run: Run) -> dict:
    return TensorFile(run.checkpoints / "last" / "model.safetensors").read_all()


@pytest.mark.parametrize("architecture", LEFT_TO_RIGHT)
def test_every_architecture_that_reads_left_to_right(architecture: str, prepared: pathlib.Path, tmp_path: pathlib.Path):
    heads = 2 if trivium_architecture(architecture).kind == "decoder" else None
    model = ModelConfig(architecture=architecture, width=32, layers=1, heads=heads)
    run = pretrain(recipe(prepared, tmp_path, model=model))
    rows = run.metrics()
    assert rows[-1]["step"] == 8 and rows[-1]["validation_loss"] < rows[0]["loss"]
    opened = trivium.load(run.folder)
    # Jurassic-1 and Megatron-Turing NLG are GPT-2s, and are found again as that.
    assert opened.architecture.model_class() is trivium_architecture(architecture).model_class()
    assert len(opened.generate(["the model"], max_new_tokens=4)[0].token_ids) >= 1


AWD = {
    "model": ModelConfig(architecture="awd_lstm", width=32, layers=2, embedding_width=16),
    "batch": BatchConfig(rows=4, context_tokens=32, reading="varied"),
    "optimiser": OptimiserConfig(kind="sgd", learning_rate=30.0, weight_decay=1.2e-6),
    "schedule": ScheduleConfig(kind="constant", warmup_steps=0),
    "training": TrainingConfig(
        log_every_steps=1,
        evaluate_every_steps=1,
        checkpoint_every_steps=3,
        clip_norm=0.25,
        non_monotone_evaluations=0,
    ),
    "steps": 9,
}
"""The recipe of the paper, with an average that begins soon."""
BILM = {"model": ModelConfig(architecture="bilm", width=16, layers=2, dropout=0.1)}


@pytest.mark.parametrize("settings", [{}, AWD, BILM], ids=["llama", "awd_lstm", "bilm"])
def test_a_resumed_run_is_the_run_that_never_stopped(
    settings: dict, notes: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    whole = pretrain(recipe(notes, tmp_path, run="whole", **settings))

    with killed_in_step(monkeypatch, 8):
        pretrain(recipe(notes, tmp_path, run="killed", **settings))
    resumed = pretrain(recipe(notes, tmp_path, run="killed", resume=True, **settings))
    expected, found = final_weights(whole), final_weights(resumed)
    assert expected.keys() == found.keys() and all(expected[name].equal(found[name]) for name in expected)
    losses = [[(row["step"], row["loss"], row["validation_loss"]) for row in run.metrics()] for run in (whole, resumed)]
    assert losses[0] == losses[1]


def test_the_recipe_of_awd_lstm_averages_and_follows_the_length_of_its_rows(
    notes: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    lengths, learners, step = [], [], SupervisedLearner.step

    def watched(learner: SupervisedLearner, batch) -> dict[str, float]:
        lengths.append(batch.tokens.shape[1])
        learners.append(learner)
        return step(learner, batch)

    monkeypatch.setattr(SupervisedLearner, "step", watched)
    run = pretrain(recipe(notes, tmp_path, **AWD))
    assert len(set(lengths)) > 1
    assert [row["learning_rate"] for row in run.metrics()] == [pytest.approx(30 * length / 32) for length in lengths]
    own = dict(learners[0].model.named_parameters())
    assert learners[0].state_dict()[1]["average"]["count"] > 1  # averaging has begun
    assert not final_weights(run)["embedding.weight"].equal(own["embedding.weight"].detach())


def test_both_directions_are_trained_and_none_sees_what_it_is_to_tell(notes: pathlib.Path, tmp_path: pathlib.Path):
    run = pretrain(recipe(notes, tmp_path, steps=12, **BILM))
    rows = run.metrics()
    assert rows[-1]["validation_loss"] < rows[0]["loss"]
    assert json.loads((run.checkpoints / "last" / "trivium.json").read_text())["objective"] == "bilm"
    config = recipe(notes, tmp_path, **BILM)
    job = pretraining_job(config, open_prepared(run.folder / "data"), build_model(config.model, 300, 32))
    assert not job.carry
    batch = job.validation[0]
    metrics = job.objective(job.model.eval(), batch).metrics
    assert metrics["forward"] > 0 and metrics["backward"] > 0 and metrics["forward"] != metrics["backward"]


def test_minutes_become_steps_that_are_recorded(notes: pathlib.Path, tmp_path: pathlib.Path):
    schedule = ScheduleConfig(kind="constant", warmup_steps=0)
    config = recipe(notes, tmp_path, steps=None, minutes=0.005, schedule=schedule)
    run = pretrain(config)
    steps = run.config["steps"]
    assert steps >= 2 and run.metrics()[-1]["step"] == steps
    # Going on, the number is read and not measured again.
    again = pretrain(dataclasses.replace(config, resume=True))
    assert again.config["steps"] == steps


def test_timing_leaves_the_run_as_it_would_be(notes: pathlib.Path, tmp_path: pathlib.Path):
    timed = pretrain(
        recipe(
            notes,
            tmp_path,
            run="timed",
            steps=None,
            minutes=0.005,
            schedule=ScheduleConfig(kind="constant", warmup_steps=0),
        )
    )
    steps = timed.config["steps"]
    plain = pretrain(
        recipe(notes, tmp_path, run="plain", steps=steps, schedule=ScheduleConfig(kind="constant", warmup_steps=0))
    )
    first, second = final_weights(timed), final_weights(plain)
    assert all(first[name].equal(second[name]) for name in first)


def test_config_yaml_is_a_recipe(notes: pathlib.Path, tmp_path: pathlib.Path):
    run = pretrain(recipe(notes, tmp_path, steps=2))
    again = configuration.from_yaml(PretrainConfig, run.folder / "config.yaml")
    assert again == dataclasses.replace(recipe(notes, tmp_path, steps=2), output=pathlib.Path("runs"))


def test_a_run_is_not_overwritten_and_nothing_is_prepared_first(notes: pathlib.Path, tmp_path: pathlib.Path):
    pretrain(recipe(notes, tmp_path, steps=2))
    before = (tmp_path / "pretrain" / "data" / "manifest.json").stat().st_mtime_ns
    with pytest.raises(StorageError, match="run in this folder already"):
        pretrain(recipe(notes, tmp_path, steps=2))
    assert (tmp_path / "pretrain" / "data" / "manifest.json").stat().st_mtime_ns == before


def test_resuming_with_other_settings_names_them(notes: pathlib.Path, tmp_path: pathlib.Path):
    pretrain(recipe(notes, tmp_path, steps=2))
    with pytest.raises(ConfigError, match="seed: was 0, is 7"):
        pretrain(recipe(notes, tmp_path, steps=2, seed=7, resume=True))


def test_the_saved_model_says_what_it_was_trained_on(notes: pathlib.Path, tmp_path: pathlib.Path):
    run = pretrain(recipe(notes, tmp_path, steps=2))
    said = json.loads((run.checkpoints / "last" / "trivium.json").read_text())
    manifest = json.loads((run.folder / "data" / "manifest.json").read_text())
    assert said["objective"] == "causal" and said["data_fingerprint"] == manifest["fingerprint"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model.dropout", "1.5"], "dropout must be"),
        (["--model.regularisation.weight-dropout", "0.5"], "llama knows only plain dropout"),
        (["--batch.reading", "stream"], "llama carries no state"),
        (["--batch.reading", "varied"], "llama carries no state"),
        (["--model.architecture", "bilm", "--batch.reading", "stream"], "begins at the end of a row"),
        (["--model.heads", "3"], "heads do not divide the width"),
        (["--model.architecture", "lama"], "did you mean 'llama'"),
        (["--model.width", "4000000000"], "does not fit into memory"),
        (["--steps", "0"], "steps must be at least 1"),
        (["--minutes", "-1"], "minutes must be"),
        (["--seed", "1180591620717411303424"], "seed is out of range"),
        (["--training.evaluation-tokens", "0"], "evaluation_tokens must be"),
        (["--run", ""], "not a plain name"),
        (["--run", "../other"], "not a plain name"),
        (["--run", ".."], "not a plain name"),
    ],
)
def test_what_is_impossible_is_told_before_any_work(flags: list[str], message: str):
    with pytest.raises(UserError, match=message):
        arguments.parse(PretrainConfig, find_verb("pretrain"), ["--data", "nowhere", *flags])


def test_a_flag_corrects_what_a_recipe_says_of_the_model(tmp_path: pathlib.Path):
    file = tmp_path / "recipe.yaml"
    file.write_text("data: nowhere\nmodel: {heads: 3}\n")
    config = arguments.parse(PretrainConfig, find_verb("pretrain"), [str(file), "--model.heads", "4"])
    assert config.model.heads == 4


def test_a_refused_run_can_be_corrected_and_started_again(notes: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(ConfigError):
        pretrain(recipe(notes, tmp_path, steps=2, schedule=ScheduleConfig(kind="wsd", warmup_steps=5)))
    assert pretrain(recipe(notes, tmp_path, steps=2)).metrics()[-1]["step"] == 2


def test_the_usual_warmup_shrinks_with_a_short_run_and_another_is_refused(notes: pathlib.Path, tmp_path: pathlib.Path):
    usual = PretrainConfig(data=notes).schedule
    run = pretrain(recipe(notes, tmp_path, steps=9, schedule=usual))
    assert run.metrics()[-1]["step"] == 9
    assert usual.warmup_steps is None and run.config["schedule"]["warmup_steps"] == 1
    pretrain(recipe(notes, tmp_path, steps=9, schedule=usual, resume=True))  # the same settings, the same run
    asked = dataclasses.replace(usual, warmup_steps=20)
    with pytest.raises(ConfigError, match="the warm-up is as long as the run"):
        pretrain(recipe(notes, tmp_path, run="asked", steps=9, schedule=asked))
