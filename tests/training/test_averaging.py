"""The mean of a run's last checkpoints."""

import pathlib

import pytest
import torch
from torch import nn

from tests.training.toys import tiny_gpt2
from trivium.checkpoints.folder import new_folder
from trivium.checkpoints.model_folder import load_model, save_folder, write_model
from trivium.errors import CheckpointError, ConfigError
from trivium.models.transformer import Transformer, TransformerConfig
from trivium.training.averaging import average_checkpoints, last_checkpoints
from trivium.training.run import Run

SHAPE = {"vocabulary_size": 13, "width": 8, "layers": 1, "heads": 2, "inner_width": 8}


def run_of(folder: pathlib.Path, models: list[nn.Module]) -> Run:
    """A run with a checkpoint of each model, after 10, 20, ... updates."""
    run = Run.start(folder / "run", {"steps": 10})
    for number, model in enumerate(models, start=1):
        with new_folder(run.checkpoint(10 * number)) as writer:
            write_model(writer, model, model.state_dict())
    return run


def networks(count: int) -> list[Transformer]:
    return [Transformer(TransformerConfig(**SHAPE)) for _ in range(count)]


def test_equal_checkpoints_are_their_own_average(tmp_path: pathlib.Path) -> None:
    model = networks(1)[0]
    run = run_of(tmp_path, [model] * 7)
    average = average_checkpoints(last_checkpoints(run, 7))
    for (name, mine), (_, mean) in zip(model.state_dict().items(), average.state_dict().items(), strict=True):
        assert torch.equal(mine, mean), name
    assert not average.training


def test_the_last_ones_are_averaged_and_saved(tmp_path: pathlib.Path) -> None:
    models = networks(4)
    run = run_of(tmp_path, models)
    folders = last_checkpoints(run, 3)
    assert [folder.name for folder in folders] == ["step-00000020", "step-00000030", "step-00000040"]
    average = average_checkpoints(folders)
    wanted = {
        name: torch.stack([model.state_dict()[name].double() for model in models[1:]]).mean(0).float()
        for name in average.state_dict()
    }
    for name, tensor in average.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name
    save_folder(tmp_path / "saved", average)
    again = load_model(tmp_path / "saved")
    assert again.head.weight is again.embedding.weight, "what was tied still is"
    assert torch.equal(again.head.weight, wanted["head.weight"])
    again.head.weight.data += 1
    assert torch.equal(again.embedding.weight, wanted["embedding.weight"] + 1)


def test_whole_numbers_are_the_last_checkpoints(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = {}
    for name, (weight, steps) in {"a": (1.0, 4), "b": (2.0, 9)}.items():
        model = nn.BatchNorm1d(2)
        model.config = "one"
        model.weight.data.fill_(weight)
        model.running_mean.fill_(3 * weight)
        model.num_batches_tracked.fill_(steps)
        loaded[tmp_path / name] = model
    monkeypatch.setattr("trivium.training.averaging.load_model", lambda folder, dtype: loaded[folder])
    average = average_checkpoints([tmp_path / "a", tmp_path / "b"])
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.running_mean.tolist() == [4.5, 4.5]
    assert average.num_batches_tracked == 9


def test_half_precision_is_summed_in_full(tmp_path: pathlib.Path) -> None:
    models = [model.bfloat16() for model in networks(3)]
    average = average_checkpoints(last_checkpoints(run_of(tmp_path, models), 3))
    exact = torch.stack([model.head.weight.double() for model in models]).mean(0)
    assert average.head.weight.dtype == torch.bfloat16
    assert torch.equal(average.head.weight, exact.bfloat16())


def test_what_has_no_average_is_refused(tmp_path: pathlib.Path) -> None:
    run = run_of(tmp_path, [networks(1)[0], tiny_gpt2()])
    with pytest.raises(CheckpointError, match="different models"):
        average_checkpoints(last_checkpoints(run, 2))
    with pytest.raises(ConfigError, match="keep_last set to 3"):
        last_checkpoints(run, 3)
    with pytest.raises(ConfigError, match="at least one"):
        last_checkpoints(run, 0)
