"""Copies of whole modules: ``modules_to_save`` of PEFT's adapters, whose tensors have the names of the base's."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.holder import holders
from trivium.adapters.peft.form import PREFIX, Tensors
from trivium.adapters.peft.own import own_form
from trivium.adapters.published import published
from trivium.adapters.trained_copy import TrainedCopy, TrainedCopyConfig, is_named
from trivium.nn.weight_map import Entry


def read_copies(model: nn.Module, options: Mapping[str, Any]) -> TrainedCopyConfig | None:
    """The modules that the model has of those that are named: PEFT names every usual head of a classifier."""
    found: dict[str, None] = {}
    for ending in options.get("modules_to_save") or ():
        meant = [module for module in _modules(model) if module.endswith(ending)]
        found |= dict.fromkeys([ending] if meant and all(is_named(module, ending) for module in meant) else meant)
    return TrainedCopyConfig(modules=tuple(found)) if found else None


def write_copies(model: nn.Module, config: TrainedCopyConfig) -> list[str]:
    """The inverse. PEFT asks how a name ends, whatever is before: its ``norm`` is every ``input_layernorm`` too."""
    found: dict[str, None] = {}
    for ending in config.modules:
        ends = [module for module in _modules(model) if module.endswith(ending)]
        meant = [module for module in ends if is_named(module, ending)]
        found |= dict.fromkeys([ending] if len(meant) == len(ends) else meant)
    return list(found)


def _modules(model: nn.Module) -> list[str]:
    """The published names of all modules that have parameters in them."""
    names = [name for _, theirs in published(model).values() for name in theirs]
    paths = [list(itertools.accumulate(name.split(".")[:-1], "{}.{}".format)) for name in names]
    return list(dict.fromkeys(path for own in paths for path in own))


def copied_tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """What the copies of ``name`` hold, under PEFT's names."""
    return {
        f"{PREFIX}{theirs}": entry.to_theirs([parameter.detach()])[0].clone()
        for theirs, entry, parameter in _parameters(model, name)
    }


def fill_copies(model: nn.Module, name: str, tensors: Tensors) -> None:
    """The inverse."""
    for theirs, entry, parameter in _parameters(model, name):
        parameter.copy_(entry.to_ours([tensors[f"{PREFIX}{theirs}"]])[0])


def _parameters(model: nn.Module, name: str) -> Iterator[tuple[str, Entry, nn.Parameter]]:
    for _, holder in holders(model, name):
        part = holder.updates[name]
        if isinstance(part, TrainedCopy):
            for own, parameter in part.module.named_parameters():
                entry, theirs = part.names[own]
                yield theirs[0], entry, parameter


TRIVIUM_TRAINED_COPY = own_form("TRIVIUM_TRAINED_COPY", TrainedCopyConfig)
