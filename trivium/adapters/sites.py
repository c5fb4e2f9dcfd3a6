"""Where an adapter can go: layers are named as the published checkpoint names them.

The weight map of the model says where each published layer lives here: ``q_proj`` is the first rows of
``attention.qkv``, ``up_proj`` the second half of ``feedforward.gate_up``.
"""

import importlib
import re
from dataclasses import dataclass

from torch import nn

from trivium.adapters.holder import Holder
from trivium.errors import ConfigError
from trivium.nn.quantized import NF4Linear
from trivium.nn.weight_map import Fuse, Rename, Transpose

ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class Site:
    """One published linear layer, and the rows of ours that it is."""

    theirs: str
    """Published module name, ``model.layers.0.self_attn.q_proj``."""
    ours: str
    """Our module, ``blocks.0.attention.qkv``."""
    start: int
    """First output row there."""
    rows: int
    """Number of output rows."""
    width: int
    """Number of inputs."""
    transposed: bool
    """Published as ``[in, out]`` (``Conv1D``)."""


def sites(model: nn.Module) -> list[Site]:
    """Every linear layer an adapter can go on, in the order of the weight map; the output head is not one."""
    mapping = importlib.import_module(type(model.config).__module__).weight_map(model.config)
    modules = dict(model.named_modules())
    found = []
    for entry, ours, theirs in mapping.expand():
        module = modules.get(ours[0].removesuffix(".weight"))
        base = module.base if isinstance(module, Holder) else module
        if not ours[0].endswith(".weight") or not isinstance(base, nn.Linear | NF4Linear):
            continue
        if isinstance(entry, Rename | Transpose):
            sizes = (base.out_features,)
        elif isinstance(entry, Fuse):
            sizes = entry.sizes
        else:
            continue  # a published matrix that is several of ours has no single place for its update
        start = 0
        for name, rows in zip(theirs, sizes, strict=True):
            plain = name.removesuffix(".weight")
            path = ours[0].removesuffix(".weight")
            found.append(Site(plain, path, start, rows, base.in_features, isinstance(entry, Transpose)))
            start += rows
    return found


def match(model: nn.Module, targets: tuple[str, ...] | str) -> list[Site]:
    """The sites that ``targets`` name: endings such as ``q_proj``, one regular expression, or ``all-linear``.

    ``ConfigError`` listing what could match, for a target that matches nothing.
    """
    places = sites(model)
    if targets == ALL_LINEAR or targets == (ALL_LINEAR,):
        patterns = [".*"]
    elif isinstance(targets, str):
        patterns = [targets]
    else:
        patterns = [rf"(.*\.)?{re.escape(ending)}" for ending in targets]
    chosen: set[Site] = set()
    for pattern, target in zip(patterns, [targets] if isinstance(targets, str) else targets, strict=True):
        hits = {site for site in places if _compiled(pattern).fullmatch(site.theirs)}
        if not hits:
            raise ConfigError(
                f"the target {target!r} matches no linear layer of this model",
                received=target,
                expected=", ".join(dict.fromkeys(_ending(site.theirs) for site in places)) or "it has no linear layers",
                fix=f"name layers by these endings, or {ALL_LINEAR}",
            )
        chosen |= hits
    return [site for site in places if site in chosen]


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError("the target is no regular expression", received=pattern, expected=str(error)) from error


def _ending(theirs: str) -> str:
    """The name without its layer: ``self_attn.q_proj``."""
    return re.split(r"\.\d+\.", theirs)[-1]
