"""The plan of a deep model from two shallow ones of the same kind (`trivium.planning.blocks`)."""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from trivium.planning.blocks import depths, kind
from trivium.planning.memory import Rehearsed
from trivium.recipes.plan_model import PlannedModel


def rehearsed(model: PlannedModel, dtype: torch.dtype, rehearse: Callable[[nn.Module], Rehearsed]) -> Rehearsed:
    """What ``rehearse`` makes of the model's network, with its parameters in ``dtype``: of two that have few blocks
    where the others are like them, which takes seconds where all blocks would take minutes; else of all."""
    whole = model.network(dtype)
    blocks = _blocks(whole)
    found = depths(blocks)
    told = {field.name: getattr(model.config, field.name) for field in dataclasses.fields(model.config)}
    if found is None or told.get("layers") != len(blocks):
        return rehearse(whole)
    shallow = [_with_layers(model, count).network(dtype) for count in (found.few, found.more)]
    kinds = [kind(block) for block in blocks]
    # A model might share out its kinds of blocks otherwise where there are fewer.
    if any([kind(block) for block in _blocks(network)] != kinds[: len(_blocks(network))] for network in shallow):
        return rehearse(whole)
    few, more = (rehearse(network) for network in shallow)
    return found.carried_on(few, more)


def _blocks(network: nn.Module) -> list[nn.Module]:
    blocks = dict(network.named_children()).get("blocks")
    return list(blocks) if isinstance(blocks, nn.ModuleList) else []


def _with_layers(model: PlannedModel, count: int) -> PlannedModel:
    return dataclasses.replace(model, config=dataclasses.replace(model.config, layers=count))
