"""A model as a Hugging Face folder, out and in.

    config.json               what `transformers` reads, with its `model_type`
    model.safetensors         tensors under their published names (the weight map at the foot of each model's file)
    generation_config.json    ids that end or begin a text, and sampling defaults
    tokenizer.json ...        what the tokenizer saves
    README.md                 model card
    trivium.json              objective, data and its fingerprint, parent and its hash, hash of the vocabulary, versions
    manifest.json             sizes and SHA-256; absent from folders that others made

Where `transformers` knows the architecture it opens the folder, and what it saves opens here.
"""

import contextlib
import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from trivium.checkpoints.company import SavedTokenizer, write_company
from trivium.checkpoints.folder import MANIFEST, FolderWriter, new_folder, replaceable, verify_folder
from trivium.checkpoints.model_card import model_card
from trivium.checkpoints.provenance import DESCRIPTION
from trivium.checkpoints.stored_tensors import WEIGHTS, StoredTensors
from trivium.checkpoints.tensors import write_tensors
from trivium.errors import CheckpointError, UserError
from trivium.models import architecture
from trivium.nn.quantized import QuantisingAssign
from trivium.nn.weight_map import export, load_into


@runtime_checkable
class ToldByTensors(Protocol):
    """A configuration of which `config.json` leaves something open that the names of the tensors tell."""

    def as_stored(self, names: Collection[str]) -> Any:
        """The configuration of a network whose tensors have these published names."""
        ...


def save_folder(
    folder: str | pathlib.Path,
    model: nn.Module,
    *,
    tokenizer: SavedTokenizer | None = None,
    dtype: torch.dtype | None = None,
    generation: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Saves a model for use. See `write_model` for the arguments.

    Raises `StorageError`, also for a folder that holds anything but an earlier save.
    """
    with new_folder(replaceable(folder)) as writer:
        write_model(
            writer,
            model,
            model.state_dict(),
            tokenizer=tokenizer,
            dtype=dtype,
            generation=generation,
            metadata=metadata,
        )


def write_model(
    writer: FolderWriter,
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    tokenizer: SavedTokenizer | None = None,
    dtype: torch.dtype | None = None,
    generation: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Writes the files of a model folder.

    `weights` is a full state dict under the model's own names (that of the model, or an average of it); floating
    tensors are converted to `dtype` where it is given. `generation` adds to or overrides the ids taken from the
    tokenizer; `metadata` goes to `trivium.json` ("objective", "data_fingerprint", "parent", ...) and the model card.
    """
    hf = dict(model.config.to_hf())
    stored = dtype or _floating_dtype(weights)
    name = str(stored).removeprefix("torch.")
    hf |= {"torch_dtype": name, "dtype": name}  # transformers 4 reads the first, 5 the second
    mapping = architecture(hf["model_type"]).weight_map(model.config)
    shapes = export({key: _converted(tensor, stored, "meta") for key, tensor in weights.items()}, mapping)
    values = ((key, _converted(tensor, stored)) for key, tensor in export(weights, mapping))
    writer.write_json("config.json", hf)
    write_tensors(writer, WEIGHTS, shapes, values)
    described = {"model_type": hf["model_type"], **(metadata or {})} | write_company(writer, tokenizer, generation)
    writer.write_json(DESCRIPTION, described)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    writer.write_text("README.md", model_card(hf, described, parameters))
    writer.adopt()


def load_model(
    folder: str | pathlib.Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
    nf4: bool = False,
) -> nn.Module:
    """The model of a folder that Trivium or `transformers` saved, in evaluation mode.

    `dtype` None keeps the one it was saved in. With `nf4` the matrices inside the blocks are packed in 4 bits as they
    arrive, and no more than one is ever held in full; what was published packed is unpacked so too, see
    `trivium.checkpoints.packed_tensors`. Where the folder has a manifest every byte is checked first.

    Raises `CheckpointError` that tells all that is missing, unexpected or mis-shaped, or which `model_type`s are known.
    """
    folder = pathlib.Path(folder)
    hf = read_hf_config(folder)
    if (folder / MANIFEST).is_file():
        verify_folder(folder)
    names = StoredTensors(folder)
    dtype = dtype or names.floating_dtype()
    with torch.device("meta") if nf4 else contextlib.nullcontext():
        model = _build(folder, hf, names)
    assign = QuantisingAssign(model, dtype=dtype) if nf4 else None
    if not nf4:
        model.to(device=device, dtype=dtype)
    mapping = architecture(hf["model_type"]).weight_map(model.config)
    aliases = names.known_as(mapping)
    load_into(model, mapping, aliases, lambda name: names.read(aliases[name], dtype).to(device), assign)
    return model.eval()


def read_hf_config(folder: pathlib.Path) -> dict[str, Any]:
    """The content of `config.json`, which must name its `model_type`. Raises `CheckpointError`."""
    path = folder / "config.json"
    fix = "give the folder of a saved model: one with config.json and model.safetensors"
    if not path.is_file():
        raise CheckpointError("there is no model in this folder", received=folder, expected="config.json", fix=fix)
    try:
        hf = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON", received=error, fix="copy it again") from error
    if not isinstance(hf, dict) or not isinstance(hf.get("model_type"), str):
        raise CheckpointError(f"{path} does not say which architecture it is", expected='"model_type": "..."', fix=fix)
    return hf


def _build(folder: pathlib.Path, hf: dict[str, Any], names: StoredTensors) -> nn.Module:
    """The network that `config.json` describes, not loaded yet."""
    entry = architecture(hf["model_type"])
    try:
        config = entry.configuration(hf)
        return entry.network(config.as_stored(names.all) if isinstance(config, ToldByTensors) else config)
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:  # a size that is text, or negative
        raise CheckpointError(
            f"config.json does not describe a {hf['model_type']} that can be built",
            received=f"{folder / 'config.json'}: {error}",
            fix="compare its sizes with those of a published model, or copy the folder again",
        ) from error


def _floating_dtype(weights: Mapping[str, Tensor]) -> torch.dtype:
    return next((tensor.dtype for tensor in weights.values() if tensor.is_floating_point()), torch.float32)


def _converted(tensor: Tensor, dtype: torch.dtype, device: str | None = None) -> Tensor:
    """Floating tensors in `dtype`, others as they are."""
    return tensor.detach().to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
