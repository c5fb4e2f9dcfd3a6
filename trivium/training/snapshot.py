"""All of a run at one step, to a checkpoint folder and back: learner, source, every generator, the trainer's count.

The folder is a model folder that anything can open (of an adapter, the adapter's), plus `resume/`. Restored, the run
goes on bit for bit. Of the model, `resume/` holds what is learnt: frozen weights are not copied into every checkpoint,
so whoever resumes makes the learner on the same base.
"""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from trivium.checkpoints.folder import FolderWriter, new_folder
from trivium.checkpoints.resume import read_resume, write_resume
from trivium.data.resumable import BatchSource
from trivium.errors import TriviumError
from trivium.runtime import seeds
from trivium.runtime.processes import any_process, place
from trivium.training.learners.protocol import Learner
from trivium.training.parallel import gather_bytes

Publish = Callable[[FolderWriter, nn.Module, dict[str, Tensor]], None]
"""Writes the files of the model: `checkpoints.model_folder.write_model` with its options bound."""


def save_snapshot(
    folder: pathlib.Path,
    learner: Learner,
    source: BatchSource,
    progress: dict[str, Any],
    *,
    publish: Publish,
    device: torch.device,
) -> None:
    """Writes the checkpoint; every process calls it. Raises `StorageError`, elsewhere `TriviumError`, if it fails."""
    tensors, state = learner.state_dict()
    weights = learner.weights()
    generators = gather_bytes(_generators(), device)
    failure: TriviumError | None = None
    if place().is_first:
        numbered = {f"generators/{rank}": _as_tensor(data) for rank, data in enumerate(generators)}
        named = {f"learner/{name}": tensor for name, tensor in tensors.items()}
        everything = {"learner": state, "source": source.state_dict(), "progress": progress}
        try:
            with new_folder(folder) as writer:
                publish(writer, learner.model, weights)
                write_resume(writer, named | numbered, everything)
        except TriviumError as error:
            failure = error
    # The others wait here rather than at a barrier: they must not go on with a run whose first process has given up.
    failed = any_process(failure is not None, device)
    if failure is not None:
        raise failure
    if failed:
        raise TriviumError("the first process could not save the checkpoint; its message says why")


def load_snapshot(folder: pathlib.Path, learner: Learner, source: BatchSource) -> dict[str, Any]:
    """Puts everything back and returns the trainer's `progress`. Raises `CheckpointError` for a damaged folder.

    With another number of processes than before, the generators of the extra ones start from their own seeds.
    """
    tensors, everything = read_resume(folder)
    named = {name.removeprefix("learner/"): t for name, t in tensors.items() if name.startswith("learner/")}
    learner.load_state_dict(named, everything["learner"])
    source.load_state_dict(everything["source"])
    own = tensors.get(f"generators/{place().rank}")
    if own is not None:
        _restore_generators(own.numpy().tobytes())
    return everything["progress"]


def _generators() -> bytes:
    """The states of every random generator of this process, as a safetensors file in memory."""
    tensors, facts = seeds.capture()
    return save(tensors | {"facts": _as_tensor(json.dumps(facts).encode())})


def _restore_generators(data: bytes) -> None:
    tensors = load(data)
    facts = json.loads(tensors.pop("facts").numpy().tobytes())
    seeds.restore(tensors, facts)


def _as_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
