"""The folder of a run."""

import json
import pathlib

import pytest

from trivium.checkpoints.folder import new_folder
from trivium.errors import ConfigError, DataError, StorageError
from trivium.training.run import METRICS, Run, compare

CONFIG = {"model": {"width": 8, "layers": 2}, "trainer": {"steps": 10, "log_every_steps": 5}, "rates": [0.1, 0.2]}


def row(step: int, **values: object) -> dict:
    return dict.fromkeys(METRICS, 0) | {"step": step, "validation_loss": None} | values


def test_a_new_run(tmp_path: pathlib.Path) -> None:
    run = Run.start(tmp_path / "r", CONFIG)
    assert Run.open(tmp_path / "r").config == CONFIG
    assert run.metrics() == []
    assert run.saved_steps() == []
    run.flush()
    with pytest.raises(StorageError, match="there is a run in this folder already") as error:
        Run.start(tmp_path / "r", CONFIG)
    assert "--resume" in str(error.value)


def test_the_keys_of_the_log(tmp_path: pathlib.Path) -> None:
    names = "step tokens seconds loss validation_loss learning_rate gradient_norm tokens_per_second skipped"
    assert names.split() == list(METRICS)
    run = Run.start(tmp_path / "r", CONFIG)
    run.log(row(1, loss=float("nan"), gradient_norm=float("inf")))
    line = json.loads(run.metrics_path.read_text())
    assert list(line) == list(METRICS)
    assert line["loss"] is None
    assert line["gradient_norm"] is None
    with pytest.raises(AssertionError):
        run.log({"step": 1})


def test_lines_after_a_step_are_forgotten_and_torn_ones_too(tmp_path: pathlib.Path) -> None:
    run = Run.start(tmp_path / "r", CONFIG)
    for step in (5, 10, 15):
        run.log(row(step))
    with run.metrics_path.open("a") as file:
        file.write('{"step": 20, "tok')
    assert [line["step"] for line in run.metrics()] == [5, 10, 15]
    run.forget_after(10)
    run.log(row(11))
    assert [line["step"] for line in run.metrics()] == [5, 10, 11]


def test_a_changed_configuration_is_refused_with_every_difference(tmp_path: pathlib.Path) -> None:
    Run.start(tmp_path / "r", CONFIG)
    changed = {"model": {"width": 16, "layers": 2, "heads": 1}, "trainer": {"steps": 10, "log_every_steps": 1}}
    with pytest.raises(ConfigError) as error:
        Run.start(tmp_path / "r", changed, resume=True)
    message = str(error.value)
    for expected in (
        "model.width: was 8, is 16",
        "model.heads: was not set, is 1",
        "rates: was [0.1, 0.2], is not set",
    ):
        assert expected in message
    assert "log_every_steps" not in message
    assert Run.open(tmp_path / "r").config == CONFIG
    Run.start(tmp_path / "r", CONFIG | {"rates": (0.1, 0.2)}, resume=True)


def test_resuming_clears_leftovers(tmp_path: pathlib.Path) -> None:
    run = Run.start(tmp_path / "r", CONFIG)
    with new_folder(run.checkpoint(10)) as writer:
        writer.write_text("a", "a")
    (run.checkpoints / ".step-00000012.partial").mkdir()
    run = Run.start(tmp_path / "r", CONFIG, resume=True)
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000010"]
    assert run.saved_steps() == [10]


def test_what_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StorageError, match="no run to resume"):
        Run.start(tmp_path / "r", CONFIG, resume=True)
    with pytest.raises(DataError, match="no run in this folder"):
        Run.open(tmp_path / "r")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        Run.start(tmp_path / "file" / "r", CONFIG)


def test_compare(tmp_path: pathlib.Path) -> None:
    runs = [Run.start(tmp_path / name, CONFIG | {"seed": seed}) for name, seed in (("a", 0), ("b", 1))]
    for step, loss in ((1, 2.0), (2, 1.0), (3, 1.5)):
        runs[0].log(row(step, validation_loss=loss))
    rows = compare(runs)
    assert [each["settings"] for each in rows] == [{"seed": 0}, {"seed": 1}]
    assert rows[0]["best_validation_loss"] == 1.0
    assert rows[0]["step"] == 3
    assert rows[1]["best_validation_loss"] is None
