"""The model that a plan is made for: a folder, a run, or a published size of which there are no weights here."""

import dataclasses
import difflib
import pathlib
from typing import Any

import torch
from torch import nn

from trivium.checkpoints.model_folder import read_hf_config
from trivium.errors import UserError
from trivium.lm.load import saved_folder
from trivium.models import Architecture, architecture
from trivium.models.parameter_counts import PARAMETERS


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """A network described, of which nothing is built yet."""

    name: str
    """The published size, or the folder."""
    entry: Architecture
    config: Any

    def network(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """It, on the meta device, with its parameters in `dtype`."""
        with torch.device("meta"):
            return self.entry.network(self.config).to(dtype)


def planned_model(name: str) -> PlannedModel:
    """The published size of this name, or the first whose name begins so ("mistral-7b"), else the folder or run.

    Raises `UserError` where there is neither.
    """
    if not pathlib.Path(name).expanduser().exists():
        found = _published(name)
        if found is not None:
            return found
        if "/" not in name:
            _refuse(name)
    folder = saved_folder(name)
    hf = read_hf_config(folder)
    entry = architecture(hf["model_type"])
    return PlannedModel(name=str(folder), entry=entry, config=entry.configuration(hf))


def _published(name: str) -> PlannedModel | None:
    matching = [(row, size) for row, sizes in PARAMETERS.items() for size in sizes if size.startswith(name)]
    exact = [(row, size) for row, size in matching if size == name]
    for row, size in [*exact, *matching]:
        entry = architecture(row)
        return PlannedModel(name=size, entry=entry, config=entry.sizes()[size])
    return None


def _refuse(name: str) -> None:
    known = [size for sizes in PARAMETERS.values() for size in sizes]
    near = difflib.get_close_matches(name, known, n=1)
    raise UserError(
        "there is neither a folder nor a published model of this name",
        received=name,
        expected="the folder of a model or of a run, or a size that `trivium models` lists",
        fix=f"did you mean {near[0]}?" if near else "see `trivium models`",
    )
