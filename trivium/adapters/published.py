"""What the published checkpoint calls each tensor of a model, also one that is stored under another's name only."""

import dataclasses
from typing import Any

from torch import nn

from trivium.models import architecture
from trivium.nn.weight_map import Entry, WeightMap

Published = dict[str, tuple[Entry, tuple[str, ...]]]
"""By our name of a tensor: the entry of the weight map that it comes from, and the published names of that entry."""


def published(model: nn.Module) -> Published:
    """Every tensor of the base. The map of a tied model leaves out the output head, which the untied one names."""
    config: Any = model.config
    mapping = weight_map(model)
    found = {name: (entry, theirs) for entry, ours, theirs in mapping.expand() for name in ours}
    if mapping.tied and any(field.name == "tied" for field in dataclasses.fields(config)):
        apart = weight_map(model, dataclasses.replace(config, tied=False))
        found |= {name: (entry, theirs) for entry, ours, theirs in apart.expand() for name in ours if name not in found}
    return found


def module_name(model: nn.Module, path: str) -> str:
    """What the module ``path`` of ours, which has a weight, is called there."""
    return published(model)[f"{path}.weight"][1][0].removesuffix(".weight")


def weight_map(model: nn.Module, config: object = None) -> WeightMap:
    """The weight map of a model; ``config``: with these settings instead of its own."""
    return architecture(model.config.to_hf()["model_type"]).weight_map(config or model.config)
