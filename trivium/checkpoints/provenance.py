"""What a model was made from, as its folder tells: the content of `trivium.json`, and hashes to check it by."""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trivium.checkpoints.folder import MANIFEST, read_manifest
from trivium.data.provenance import file_sha256
from trivium.errors import CheckpointError, UserError

DESCRIPTION = "trivium.json"
ADAPTER_CONFIG = "adapter_config.json"
# Written anew with every save: they say what saved it, not what it was made from.
_OF_ONE_SAVE = ("model_type", "versions", "tokenizer_sha256")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model in memory came from."""

    folder: pathlib.Path
    """The folder it was loaded from."""
    described: Mapping[str, Any] = field(default_factory=dict)
    """The content of that folder's `trivium.json`; empty for folders that others made."""
    adapters: Mapping[str, pathlib.Path] = field(default_factory=dict)
    """The folders of its adapters, by name."""

    def facts(self) -> dict[str, Any]:
        """What another save of the same weights tells of them."""
        return {name: value for name, value in self.described.items() if name not in _OF_ONE_SAVE}

    def merged(self, adapter: str) -> dict[str, Any]:
        """What the weights tell that come of folding the adapter of this name into them."""
        objective = self.described.get("objective")
        told = {} if objective is None else {"objective": objective}
        told |= parent_facts(self.folder)
        if adapter in self.adapters:
            folder = self.adapters[adapter]
            told |= {"adapter": str(folder), "adapter_sha256": weights_sha256(folder)}
        return told


def read_description(folder: pathlib.Path) -> dict[str, Any]:
    """The content of `trivium.json`; empty where there is none. Raises `CheckpointError`."""
    return _read_object(folder / DESCRIPTION)


def read_adapter_config(folder: pathlib.Path) -> dict[str, Any]:
    """The content of `adapter_config.json`; empty where there is none. Raises `CheckpointError`."""
    return _read_object(folder / ADAPTER_CONFIG)


def parent_facts(folder: str | pathlib.Path, named: object = None) -> dict[str, str]:
    """What a model says of the one it was made from, that lies in ``folder``.

    ``named`` is how the user called it: the folder of a run, say. Without weights there (an id of a hub) there is no
    hash.
    """
    told = {"parent": str(folder if named is None else named)}
    digest = weights_sha256(pathlib.Path(folder))
    return told if digest is None else {**told, "parent_sha256": digest}


def weights_sha256(folder: pathlib.Path, *, read: bool = False) -> str | None:
    """SHA-256 of the weights of a model or adapter; None where there are none.

    Of one file it is the file's own; of several, that of the lines that `sha256sum *.safetensors` prints. It is taken
    from the manifest where the folder has one, unless ``read`` asks for the files themselves.
    """
    files = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if not files:
        return None
    listed: Mapping[str, Any] = {}
    if not read and (folder / MANIFEST).is_file():
        listed = read_manifest(folder)
    digests = [listed[file.name]["sha256"] if file.name in listed else file_sha256(file) for file in files]
    if len(files) == 1:
        return digests[0]
    lines = "".join(f"{digest}  {file.name}\n" for digest, file in zip(digests, files, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def base_named(folder: pathlib.Path) -> tuple[str, ...]:
    """What an adapter's folder calls the model that it was made for, the nearest to its weights first."""
    named = (read_adapter_config(folder).get("base_model_name_or_path"), read_description(folder).get("parent"))
    return tuple(dict.fromkeys(str(name) for name in named if name))


def named_place(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """Where the path ``name``, written in ``folder``, leads: from here, from the folder, or from one above it."""
    given = pathlib.Path(name).expanduser()
    starts = [pathlib.Path(), folder, *folder.resolve().parents]
    places = [given] if given.is_absolute() else [start / given for start in starts]
    return next((place for place in places if place.exists()), None)


def is_adapter(folder: pathlib.Path) -> bool:
    """Whether the folder holds an adapter, in the form of PEFT."""
    return (folder / ADAPTER_CONFIG).is_file()


def is_model(folder: pathlib.Path) -> bool:
    """Whether the folder holds a model, in the form of Hugging Face."""
    return (folder / "config.json").is_file()


def own_manifest(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file, as the folder's manifest tells; empty where it has none that is whole."""
    try:
        return read_manifest(folder)
    except UserError:
        return {}


def _read_object(path: pathlib.Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON", received=error, fix="copy it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a mapping", received=type(content).__name__, fix="copy it again")
    return content
