"""What a run needs to go on, beside the model that everyone may use: tensors as safetensors, the rest as JSON."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trivium.checkpoints.folder import FolderWriter, verify_folder
from trivium.checkpoints.tensors import TensorFile, write_tensor_dict
from trivium.errors import CheckpointError

TENSORS = "resume/learner.safetensors"
STATE = "resume/state.json"


def write_resume(writer: FolderWriter, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Adds the state of a run to a checkpoint folder. A float in `state` comes back to the last bit."""
    write_tensor_dict(writer, TENSORS, tensors)
    writer.write_json(STATE, dict(state))


def read_resume(folder: str | pathlib.Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the state of the run saved in `folder`, after every byte of the folder has been checked.

    Raises `CheckpointError` for a folder that is damaged or that holds a model without the state of a run.
    """
    folder = pathlib.Path(folder)
    verify_folder(folder)
    if not (folder / STATE).is_file():
        raise CheckpointError(
            f"{folder} holds a model, but no run that could be continued",
            expected=STATE,
            fix="start a new run from this model instead of resuming",
        )
    return TensorFile(folder / TENSORS).read_all(), json.loads((folder / STATE).read_text(encoding="utf-8"))
