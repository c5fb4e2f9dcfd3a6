"""An adapter as a PEFT folder, out and in.

    adapter_config.json           what PEFT reads
    adapter_model.safetensors     the trained tensors under PEFT's names
    trivium.json                  the base and the SHA-256 of its weights, data, method
    README.md                     model card
    manifest.json                 sizes and SHA-256; absent from folders that others made

A training run puts the tokenizer and the settings for writing beside them: it may have taught the model a new end.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.attach import adapter_parameters
from trivium.adapters.counting import numbers_in
from trivium.adapters.peft import from_peft, to_peft
from trivium.adapters.peft.form import PREFIX
from trivium.checkpoints.company import SavedTokenizer, versions, write_company
from trivium.checkpoints.folder import MANIFEST, FolderWriter, new_folder, replaceable, verify_folder
from trivium.checkpoints.model_card import adapter_card
from trivium.checkpoints.provenance import (
    DESCRIPTION,
    base_named,
    parent_facts,
    read_adapter_config,
    read_description,
    weights_sha256,
)
from trivium.checkpoints.tensors import TensorFile, write_tensor_dict
from trivium.errors import CheckpointError
from trivium.models.scored import SCORE

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_COPIES, _SCORE_WEIGHT = "modules_to_save", f"{PREFIX}{SCORE}.weight"


def save_adapter(folder: str | pathlib.Path, model: nn.Module, name: str, *, base: str | None = None) -> None:
    """Saves one adapter of `model` so that PEFT opens it; `base` is the path or id of the frozen model.

    Raises `StorageError`, also for a folder that holds anything but an earlier save, and `ConfigError` for a name that
    is not attached.
    """
    with new_folder(replaceable(folder)) as writer:
        write_adapter(writer, model, name, base=base, metadata=None if base is None else parent_facts(base))


def write_adapter(
    writer: FolderWriter,
    model: nn.Module,
    name: str,
    *,
    base: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tokenizer: SavedTokenizer | None = None,
    generation: Mapping[str, Any] | None = None,
) -> None:
    """Writes the files of an adapter folder: what a training run of an adapter publishes instead of the whole model.

    `metadata` goes to `trivium.json` and the model card: `parent_facts(base)` says there which weights the adapter was
    made for. With `tokenizer` or `generation` both are written as beside a model.
    """
    config, tensors = to_peft(model, name, base=base)
    writer.write_json(_CONFIG, config)
    write_tensor_dict(writer, _WEIGHTS, tensors)
    described = dict(metadata or {})
    beside = tokenizer is not None or generation is not None
    described |= write_company(writer, tokenizer, generation) if beside else {"versions": versions()}
    writer.write_json(DESCRIPTION, described)
    own = sum(tensor.numel() for tensor in tensors.values())
    base_numbers = numbers_in(model, without=adapter_parameters(model, name).values())
    writer.write_text("README.md", adapter_card(config, described, own, base_numbers))
    writer.adopt()


def check_base(adapter: pathlib.Path, base: pathlib.Path) -> None:
    """Raises `CheckpointError` where the adapter in the one folder was made for other weights than those in the other.

    An adapter that says nothing of the weights, as PEFT's do, is taken at its word: its shapes must fit.
    """
    recorded = read_description(adapter).get("parent_sha256")
    if recorded is None or recorded == weights_sha256(base):
        return
    raise CheckpointError(
        "this adapter was made for other weights than those of this base",
        received=f"{adapter} on {base}",
        expected=f"{' or '.join(base_named(adapter))}, with weights of SHA-256 {str(recorded)[:12]}...",
        fix="load it on the base that it was trained on; who knows better says any_base (--any-base)",
    )


def load_adapter(folder: str | pathlib.Path, model: nn.Module, name: str) -> None:
    """Attaches the adapter that Trivium or PEFT saved in `folder` to `model`, as `name`.

    Raises `CheckpointError` where the folder is damaged or made for another model, `Unsupported` for PEFT options that
    are not computed here.
    """
    folder = pathlib.Path(folder)
    from_peft(model, name, _read_options(folder), TensorFile(folder / _WEIGHTS).read_all())


def load_beside_scores(folder: str | pathlib.Path, model: nn.Module, name: str) -> Tensor:
    """Attaches all of the adapter but the head of scores that it brings, which is given back: [N, D].

    So it stands on a language model whose own head stays, and which others use too. Raises as `load_adapter`, and
    `CheckpointError` for an adapter without such a head.
    """
    folder = pathlib.Path(folder)
    if scores_of(folder) is None:
        raise CheckpointError(
            "this adapter brings no head of scores",
            received=folder,
            expected=f"modules_to_save with {SCORE}, and its weight",
            fix="give the adapter of a reward model",
        )
    options, tensors = _read_options(folder), TensorFile(folder / _WEIGHTS).read_all()
    others = [module for module in options[_COPIES] if module != SCORE]
    weight = tensors.pop(_SCORE_WEIGHT)
    from_peft(model, name, {**options, _COPIES: others or None}, tensors)
    return weight


def scores_of(folder: pathlib.Path) -> tuple[str, ...] | None:
    """The names of the numbers that the adapter's own head gives a text; None where it brings no such head."""
    if SCORE not in (read_adapter_config(folder).get(_COPIES) or ()) or not (folder / _WEIGHTS).is_file():
        return None
    stored = TensorFile(folder / _WEIGHTS)
    if _SCORE_WEIGHT not in stored.names:
        return None
    count = len(stored.read(_SCORE_WEIGHT))
    told: Any = read_description(folder).get("labels")
    named = isinstance(told, list) and len(told) == count and all(isinstance(label, str) for label in told)
    return tuple(told) if named else tuple(f"LABEL_{number}" for number in range(count))


def _read_options(folder: pathlib.Path) -> dict[str, Any]:
    """The content of `adapter_config.json`; every byte of the folder is checked first where it has a manifest."""
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
    return config
