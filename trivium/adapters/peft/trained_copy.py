"""Copies of whole modules: ``modules_to_save`` of PEFT's adapters, whose tensors have the names of the base's."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.holder import holders
from trivium.adapters.peft.form import PREFIX, Tensors, refuse
from trivium.adapters.peft.own import own_form
from trivium.adapters.published import published
from trivium.adapters.trained_copy import TrainedCopy, TrainedCopyConfig, copies, is_inside
from trivium.nn.weight_map import Entry


def read_copies(model: nn.Module, options: Mapping[str, Any]) -> TrainedCopyConfig | None:
    """The modules that the model has of those that are named: PEFT names every usual head of a classifier.

    ``Unsupported`` where modules that are tied in the base are to stay so.
    """
    names = [name for _, theirs in published(model).values() for name in theirs]
    endings = options.get("modules_to_save") or ()
    there = tuple(ending for ending in endings if any(is_inside(name, ending) for name in names))
    if not there:
        return None
    config = TrainedCopyConfig(modules=there)
    if options.get("ensure_weight_tying") and any(part.shared for part in copies(model, config).values()):
        refuse({"ensure_weight_tying": True})
    return config


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
