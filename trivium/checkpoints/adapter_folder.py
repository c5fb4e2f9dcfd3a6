"""An adapter as a PEFT folder, out and in: `adapter_config.json` and `adapter_model.safetensors`."""

import json
import pathlib

from torch import nn

from trivium.adapters.peft import from_peft, to_peft
from trivium.checkpoints.folder import MANIFEST, FolderWriter, new_folder, replaceable, verify_folder
from trivium.checkpoints.provenance import DESCRIPTION, parent_facts
from trivium.checkpoints.tensors import TensorFile, write_tensor_dict
from trivium.errors import CheckpointError

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def save_adapter(folder: str | pathlib.Path, model: nn.Module, name: str, *, base: str | None = None) -> None:
    """Saves one adapter of `model` so that PEFT opens it; `base` is the path or id of the frozen model.

    Raises `StorageError`, also for a folder that holds anything but an earlier save, and `ConfigError` for a name that
    is not attached.
    """
    with new_folder(replaceable(folder)) as writer:
        write_adapter(writer, model, name, base=base)


def write_adapter(writer: FolderWriter, model: nn.Module, name: str, *, base: str | None = None) -> None:
    """Writes the files of an adapter folder: what a training run of an adapter publishes instead of the whole model.

    Where `base` is a folder, `trivium.json` says which weights the adapter was made for, by their SHA-256.
    """
    config, tensors = to_peft(model, name, base=base)
    writer.write_json(_CONFIG, config)
    write_tensor_dict(writer, _WEIGHTS, tensors)
    if base is not None:
        writer.write_json(DESCRIPTION, parent_facts(base))


def load_adapter(folder: str | pathlib.Path, model: nn.Module, name: str) -> None:
    """Attaches the adapter that Trivium or PEFT saved in `folder` to `model`, as `name`.

    Raises `CheckpointError` where the folder is damaged or made for another model, `Unsupported` for PEFT options that
    are not computed here.
    """
    folder = pathlib.Path(folder)
    path = folder / _CONFIG
    if (folder / MANIFEST).is_file():
        verify_folder(folder)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            "there is no adapter in this folder", received=folder, expected=f"{_CONFIG} and {_WEIGHTS}"
        ) from error
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON", received=error, fix="copy it again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds no options", received=type(config).__name__, expected="a JSON object")
    from_peft(model, name, config, TensorFile(folder / _WEIGHTS).read_all())
