"""Tensors go to safetensors and back to the last bit, and damage is told clearly."""

import pathlib

import pytest
import torch
from safetensors.torch import load_file

from trivium.checkpoints.folder import new_folder
from trivium.checkpoints.resume import read_resume, write_resume
from trivium.checkpoints.tensors import TensorFile, write_tensor_dict
from trivium.errors import CheckpointError

TENSORS = {
    "double": torch.randn(3, 4, dtype=torch.float64),
    "half": torch.randn(5).bfloat16(),
    "scalar": torch.tensor(7),
    "empty": torch.empty(0, 3),
    "flags": torch.tensor([True, False]),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "bytes": torch.arange(256).to(torch.uint8),
}


def saved(folder: pathlib.Path) -> pathlib.Path:
    with new_folder(folder) as writer:
        write_tensor_dict(writer, "model.safetensors", TENSORS)
    return folder / "model.safetensors"


def test_round_trip_through_us_and_through_safetensors(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path / "f")
    for read in (TensorFile(path).read_all(), load_file(path)):
        assert read.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert read[name].dtype == tensor.dtype
            assert torch.equal(read[name], tensor), name


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_says_so(keep: int, tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path / "f")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="not a whole safetensors file") as error:
        TensorFile(path)
    assert "download it again" in str(error.value)


@pytest.mark.parametrize("content", [b"\xff" * 64, b"PK\x03\x04" + b"\0" * 60, (2**62).to_bytes(8, "little") + b"{}"])
def test_what_is_no_safetensors_file_is_refused(content: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        TensorFile(path)


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        TensorFile(tmp_path / "model.safetensors")


def test_resume_state_round_trip(tmp_path: pathlib.Path) -> None:
    state = {"number": 0.1 + 0.2, "nested": {"list": [1, 2]}}
    with new_folder(tmp_path / "f") as writer:
        write_resume(writer, TENSORS, state)
    tensors, read = read_resume(tmp_path / "f")
    assert read == state
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


def test_a_model_without_a_run_cannot_be_resumed(tmp_path: pathlib.Path) -> None:
    saved(tmp_path / "f")
    with pytest.raises(CheckpointError, match="no run that could be continued"):
        read_resume(tmp_path / "f")
