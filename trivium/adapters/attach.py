"""Put adapters on a model and take them off: layers are named as the published checkpoint names them.

The weight map of the model says where each published layer lives here: ``q_proj`` is the first rows of
``attention.qkv``, ``up_proj`` the second half of ``feedforward.gate_up``.
"""

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from trivium.adapters.adapter_set import AdapterSet, adapters_of, first_weight, has_adapters
from trivium.adapters.lora import LoRAConfig, LoRALinear, LowRankUpdate
from trivium.adapters.prefix import Prefix, PrefixConfig
from trivium.errors import ConfigError, Unsupported
from trivium.nn.quantized import NF4Linear
from trivium.nn.weight_map import Fuse, Rename, Transpose

AdapterConfig = LoRAConfig | PrefixConfig
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
        if not ours[0].endswith(".weight") or not isinstance(module, nn.Linear | NF4Linear | LoRALinear):
            continue
        if isinstance(entry, Rename | Transpose):
            sizes = (module.out_features,)
        elif isinstance(entry, Fuse):
            sizes = entry.sizes
        else:
            continue  # a published matrix that is several of ours has no single place for its update
        start = 0
        for name, rows in zip(theirs, sizes, strict=True):
            plain = name.removesuffix(".weight")
            path = ours[0].removesuffix(".weight")
            found.append(Site(plain, path, start, rows, module.in_features, isinstance(entry, Transpose)))
            start += rows
    return found


def match(model: nn.Module, targets: tuple[str, ...] | str) -> list[Site]:
    """The sites that ``targets`` name (see ``LoRAConfig.targets``).

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


def attach(model: nn.Module, name: str, config: AdapterConfig) -> None:
    """Add an adapter to ``model`` in place and make it the active one. The base is frozen.

    Raises ``ConfigError`` for a name that is taken or holds a dot, for a target that matches nothing and for a rank
    larger than its matrix, and ``Unsupported`` for a prefix on a model without a key-value cache; the model is then
    as it was before.
    """
    adapters = adapters_of(model) if has_adapters(model) else AdapterSet()
    if not name.isidentifier() or name in adapters.configs:
        raise ConfigError(
            "an adapter needs a name of its own, of letters, digits and underscores",
            received=repr(name),
            expected=f"not one of {', '.join(adapters.configs)}" if adapters.configs else None,
        )
    adapters.require_unmerged("attaching another adapter")
    if isinstance(config, LoRAConfig):
        like = first_weight(model)
        updates = []
        for site in match(model, config.targets):
            update = LowRankUpdate(site.theirs, site.start, site.rows, site.width, config, like)
            updates.append((site, update))
        _freeze(model)
        for site, update in updates:
            _wrapped(model, site.ours, adapters).add(name, update)
    else:
        prefix = Prefix(model, config)
        _freeze(model)
        adapters.prefixes[name] = prefix
    model.adapters = adapters
    adapters.configs[name] = config
    adapters.routing.active = name


def _freeze(model: nn.Module) -> None:
    """The base is frozen when its first adapter comes; later adapters leave the earlier ones trainable."""
    if not has_adapters(model):
        model.requires_grad_(False)


def _wrapped(model: nn.Module, name: str, adapters: AdapterSet) -> LoRALinear:
    module = model.get_submodule(name)
    if isinstance(module, LoRALinear):
        return module
    assert isinstance(module, nn.Linear | NF4Linear)
    wrapped = LoRALinear(module, adapters.routing)
    model.set_submodule(name, wrapped)
    return wrapped


def wrapped_layers(model: nn.Module, name: str | None = None) -> Iterator[tuple[str, LoRALinear]]:
    """The wrapped layers, all or those that the adapter ``name`` changes, by our names."""
    for path, module in model.named_modules():
        if isinstance(module, LoRALinear) and (name is None or name in module.updates):
            yield path, module


def adapter_parameters(model: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """The trained parameters of one adapter, by their names in ``model``."""
    adapters = adapters_of(model)
    adapters.require(name)
    marks = (f"adapters.prefixes.{name}.", f".updates.{name}.")
    return {path: p for path, p in model.named_parameters() if path.startswith(marks[0]) or marks[1] in path}


def merge(model: nn.Module, name: str) -> None:
    """Fold a LoRA into the weights: the model is then as fast as its base. ``Unsupported`` for a prefix."""
    adapters = adapters_of(model)
    adapters.require(name)
    adapters.require_unmerged("merging")
    if not isinstance(adapters.configs[name], LoRAConfig):
        raise Unsupported("a prefix cannot be merged into weights", received=name, expected="a LoRA")
    for _, layer in wrapped_layers(model, name):
        layer.merge(name)
    adapters.routing.merged = adapters.routing.active = name


def unmerge(model: nn.Module) -> None:
    """Undo ``merge``, bit for bit; nothing happens where nothing is merged."""
    routing = adapters_of(model).routing
    if routing.merged is None:
        return
    for _, layer in wrapped_layers(model, routing.merged):
        layer.unmerge()
    routing.merged = None


def detach(model: nn.Module) -> None:
    """Take every adapter off. What was merged stays in the weights: ``merge`` then ``detach`` leaves a plain model."""
    adapters_of(model)
    for path, layer in list(wrapped_layers(model)):
        model.set_submodule(path, layer.base)
    del model.adapters
    model.requires_grad_(True)
