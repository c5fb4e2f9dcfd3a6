"""Put adapters on a model and take them off, whatever their method."""

from torch import nn

from trivium.adapters.adapter_set import AdapterSet, adapters_of, has_adapters
from trivium.adapters.holder import Holder, holders
from trivium.adapters.methods import AdapterConfig, method_of
from trivium.errors import ConfigError, Unsupported


def attach(model: nn.Module, name: str, config: AdapterConfig) -> None:
    """Add an adapter to ``model`` in place and make it the active one. The base is frozen.

    Raises ``ConfigError`` for a name that is taken or no identifier, and what the method's ``prepare`` raises (a target
    that matches nothing, a rank larger than its matrix, a model that cannot carry it); the model is then as it was.
    """
    adapters = adapters_of(model) if has_adapters(model) else AdapterSet()
    if not name.isidentifier() or name in adapters.configs:
        raise ConfigError(
            "an adapter needs a name of its own, of letters, digits and underscores",
            received=repr(name),
            expected=f"not one of {', '.join(adapters.configs)}" if adapters.configs else None,
        )
    adapters.require_unmerged("attaching another adapter")
    place = method_of(config).prepare(model, config)
    if not has_adapters(model):  # later adapters leave the earlier ones trainable
        model.requires_grad_(False)
    place(name, adapters)
    for part in _parts(model, name, adapters):  # a model that only answers drops nothing
        part.train(model.training)
    model.adapters = adapters
    adapters.configs[name] = config
    adapters.routing.active = name


def _parts(model: nn.Module, name: str, adapters: AdapterSet) -> list[nn.Module]:
    """All modules of one adapter."""
    parts = [holder.updates[name] for _, holder in holders(model, name)]
    return [*parts, adapters.prompts[name]] if name in adapters.prompts else parts


def remove(model: nn.Module, name: str) -> None:
    """Take one adapter off; the others stay, and none is active if it was.

    ``Unsupported`` while it is merged, or while another is made of it.
    """
    adapters = adapters_of(model)
    adapters.require(name)
    adapters.require_unmerged("removing an adapter")
    adapters.require_unneeded(name)
    for path, holder in reversed(list(holders(model, name))):  # the inner first: their paths are true still
        del holder.updates[name]
        if not len(holder.updates):
            model.set_submodule(path, holder.base)
    if name in adapters.prompts:
        del adapters.prompts[name]
    adapters.made_of.pop(name, None)
    del adapters.configs[name]
    adapters.routing.joined.clear()
    adapters.routing.used.clear()
    if adapters.routing.active == name:
        adapters.routing.active = None


def adapter_parameters(model: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """The trained parameters of one adapter, by their names in ``model``."""
    adapters_of(model).require(name)
    own, part = f"adapters.prompts.{name}.", f".updates.{name}."
    return {path: p for path, p in model.named_parameters() if path.startswith(own) or part in path}


def merge(model: nn.Module, name: str) -> None:
    """Fold an adapter into the weights: the model is then as fast as its base.

    ``Unsupported`` for what no weights can express (a prefix, a bottleneck, an update of a table that is shared).
    """
    adapters = adapters_of(model)
    adapters.require(name)
    adapters.require_unmerged("merging")
    method = method_of(adapters.configs[name])
    if not method.merges:
        raise Unsupported(f"a {method.name} cannot be merged into weights", received=name, expected="a LoRA")
    merged: list[Holder] = []
    try:
        for _, holder in list(holders(model, name)):
            holder.merge(name)
            merged.append(holder)
    except Unsupported:
        for holder in merged:
            holder.unmerge()
        raise
    adapters.routing.merged = adapters.routing.active = name


def unmerge(model: nn.Module) -> None:
    """Undo ``merge``, bit for bit; nothing happens where nothing is merged."""
    routing = adapters_of(model).routing
    if routing.merged is None:
        return
    for _, holder in holders(model, routing.merged):
        holder.unmerge()
    routing.merged = None


def detach(model: nn.Module) -> None:
    """Take every adapter off. What was merged stays in the weights: ``merge`` then ``detach`` leaves a plain model."""
    adapters_of(model)
    for path, holder in reversed(list(holders(model))):
        model.set_submodule(path, holder.base)
    del model.adapters
    model.requires_grad_(True)
