"""The tensors of a model folder by their published names, in one file or in several, read one at a time."""

import json
import pathlib
import re
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor

from trivium.checkpoints.packed_tensors import packing_of
from trivium.checkpoints.tensors import TensorFile
from trivium.errors import CheckpointError
from trivium.nn.weight_map import WeightMap

WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_NORM = re.compile(r"(LayerNorm\.)(gamma|beta)$")


class StoredTensors:
    """Where each published tensor of a folder is: in one file, or in the files that an index lists.

    What the folder holds packed is seen, and read, as it is unpacked. Raises ``CheckpointError``, and ``Unsupported``
    for a way of packing that is not known.
    """

    def __init__(self, folder: pathlib.Path):
        self._opened: dict[str, TensorFile] = {}
        self._folder = folder
        if (folder / WEIGHTS).is_file() or not (folder / _INDEX).is_file():
            self._require_weights()
            self._files = dict.fromkeys(self._open(WEIGHTS).names, WEIGHTS)
        else:
            self._files = self._read_index()
        self._packing = packing_of(folder)
        self._parts = (
            {name: (name,) for name in self._files} if self._packing is None else self._packing.parts(self._files)
        )

    @property
    def all(self) -> Collection[str]:
        """The names of the tensors."""
        return self._parts.keys()

    def read(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """One tensor: as it was saved, or unpacked to ``dtype``; None for one that holds all its numbers."""
        parts = [self._open(self._files[part]).read(part) for part in self._parts[name]]
        if len(parts) == 1:
            return parts[0]
        assert self._packing is not None
        try:
            return self._packing.unpack(*parts, dtype)
        except CheckpointError as error:
            raise CheckpointError(f"{name}: {error.what}", received=error.received, fix=error.fix) from error

    def floating_dtype(self) -> torch.dtype:
        """The dtype of the first floating tensor that is not packed."""
        tensors = (self.read(name) for name, parts in self._parts.items() if len(parts) == 1)
        return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)

    def known_as(self, mapping: WeightMap) -> dict[str, str]:
        """Name that the weight map uses -> name in the file.

        They are the same, with two exceptions. A bare body is saved without its name ("transformer.", "bert.") in
        front of its tensors, and may be read where a head stands on it, or the reverse. And in files that come from
        BERT's first release the norms have a ``gamma`` and a ``beta``.
        """
        names = {self._modern(name): name for name in self._parts}
        probe = next((theirs[0] for entry, _, theirs in mapping.expand() if _is_of_a_layer(entry)), None)
        if probe is None or probe in names:
            return names
        longer = next((name for name in names if name.endswith("." + probe)), None)
        shorter = next((name for name in names if probe.endswith("." + name)), None)
        if longer is not None:
            surplus = longer.removesuffix(probe)
            renamed = {name.removeprefix(surplus): stored for name, stored in names.items()}
        elif shorter is not None:
            lacking = probe.removesuffix(shorter)
            needed = {name for _, _, theirs in mapping.expand() for name in theirs}
            renamed = {name if name in needed else lacking + name: stored for name, stored in names.items()}
        else:
            return names
        return renamed if len(renamed) == len(names) else names  # no two may become one

    def _modern(self, name: str) -> str:
        """``name`` as it is written today, unless another tensor has that name."""
        modern = _NORM.sub(lambda found: found[1] + ("weight" if found[2] == "gamma" else "bias"), name)
        return name if modern in self._parts else modern

    def _open(self, file: str) -> TensorFile:
        if file not in self._opened:
            self._opened[file] = TensorFile(self._folder / file)
        return self._opened[file]

    def _read_index(self) -> dict[str, str]:
        path = self._folder / _INDEX
        try:
            files = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
            listed = {str(name): str(file) for name, file in files.items()}
        except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
            raise CheckpointError(f"{path} is damaged", received=error, fix="copy it again") from error
        # A name with a folder in it would lead out of the checkpoint.
        strange = [file for file in listed.values() if pathlib.PurePath(file).name != file]
        absent = sorted({file for file in listed.values() if not (self._folder / file).is_file()})
        if strange or absent:
            raise CheckpointError(
                f"{path} lists files that are not in the folder",
                received=", ".join(strange or absent),
                fix="copy or download the missing files",
            )
        misplaced = [name for name, file in listed.items() if name not in self._open(file).names]
        if misplaced:
            raise CheckpointError(
                f"{path} lists tensors that are not in their files",
                received=_listing(misplaced),
                fix="copy or download the folder again",
            )
        return listed

    def _require_weights(self) -> None:
        if (self._folder / WEIGHTS).is_file():
            return
        pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in self._folder.glob(pattern))
        fix = "copy model.safetensors into the folder"
        if pickled:
            fix = "a pickle can run code when it is opened, so it never is: save it again as safetensors"
        raise CheckpointError(
            f"{self._folder} has no weights",
            received=", ".join(pickled) or None,
            expected=f"{WEIGHTS} or {_INDEX}",
            fix=fix,
        )


def _is_of_a_layer(entry: Any) -> bool:
    return any("{i}" in name for name in entry.names()[1])


def _listing(names: Iterable[str], most: int = 20) -> str:
    names = list(names)
    more = [f"... and {len(names) - most} more"] if len(names) > most else []
    return "\n".join(names[:most] + more)
