"""Building a network only where it fits."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from trivium.errors import ConfigError
from trivium.runtime import machine

Network = TypeVar("Network", bound=nn.Module)


def build_within_memory(build: Callable[[], Network]) -> Network:
    """What ``build`` gives, built first without memory to see what it takes.

    Raises `ConfigError` where the weights alone are more than this machine's memory.
    """
    with torch.device("meta"):
        asked = 4 * sum(parameter.numel() for parameter in build().parameters()) / 2**30
    present = machine.total_memory_gib()
    if present is not None and asked > present:
        raise ConfigError(
            "the model does not fit into memory",
            received=f"{asked:,.1f} GiB of weights",
            expected=f"less than the {present:,.1f} GiB that there are",
            fix="lower width, layers or the size of the vocabulary",
        )
    return build()
