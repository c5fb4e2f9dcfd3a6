"""What the published checkpoint calls each tensor of a model, also one that is stored under another's name only."""

import dataclasses
import importlib
from typing import Any

from torch import nn

from trivium.nn.weight_map import Entry

Published = dict[str, tuple[Entry, tuple[str, ...]]]
"""By our name of a tensor: the entry of the weight map that it comes from, and the published names of that entry."""


def published(model: nn.Module) -> Published:
    """Every tensor of the base. The map of a tied model leaves out the output head, which the untied one names."""
    config: Any = model.config
    weight_map = importlib.import_module(type(config).__module__).weight_map
    mapping = weight_map(config)
    found = {name: (entry, theirs) for entry, ours, theirs in mapping.expand() for name in ours}
    if mapping.tied and any(field.name == "tied" for field in dataclasses.fields(config)):
        apart = weight_map(dataclasses.replace(config, tied=False))
        found |= {name: (entry, theirs) for entry, ours, theirs in apart.expand() for name in ours if name not in found}
    return found
