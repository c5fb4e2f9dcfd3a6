"""A second copy of an adapter beside the first: what a policy was when its training began."""

import torch
from torch import nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.routing import activate


def clone_frozen(model: nn.Module, name: str, copy: str) -> None:
    """Attaches ``copy``, which answers as the adapter ``name`` does now and is not trained; the active adapter stays.

    Without it a policy that begins from a trained adapter would be held near the bare base, which it never was.
    Raises as ``attach``.
    """
    adapters = adapters_of(model)
    adapters.require(name)
    active, generators = adapters.routing.active, torch.get_rng_state()
    attach(model, copy, adapters.configs[name])
    torch.set_rng_state(generators)  # what it was drawn with is overwritten, and nobody else's chance is to change
    theirs = list(adapter_parameters(model, name).values())
    ours = list(adapter_parameters(model, copy).values())
    with torch.no_grad():
        for mine, origin in zip(ours, theirs, strict=True):
            mine.data = origin.detach().clone()
            mine.requires_grad_(False)
    activate(model, active)
