"""An adapter that is trained further: its method and its settings are those of its folder, and so is its base.

What is saved is an adapter of the same base again, which names the adapter that it was made from. A prompt or a prefix
that was learnt through an encoder or a projection is plain in its folder, and goes on as such; so does the LoRA that a
PiSSA becomes.
"""

import dataclasses
import pathlib
from typing import Any

from torch import nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.methods import AdapterConfig, method_of
from trivium.adapters.routing import activate
from trivium.checkpoints.provenance import parent_facts, read_description, weights_sha256
from trivium.errors import ConfigError, Unsupported
from trivium.lm.load import base_folder, load
from trivium.lm.local import LocalModel
from trivium.recipes.adapting import ADAPTER
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.method_config import WAYS, MethodName


def open_adapter(folder: pathlib.Path, device: str) -> LocalModel:
    """The adapter of `folder` on its base, both in fp32, ready to be trained further. Raises as `load`."""
    quantize = read_description(folder).get("quantize")
    model = load(base_folder(folder), adapter={ADAPTER: folder}, device=device, quantize=quantize)
    activate(model.network, ADAPTER)
    return model


def as_saved(config: FinetuneConfig, folder: pathlib.Path, network: nn.Module) -> FinetuneConfig:
    """`config` with the method and the settings of the adapter in `folder`, which `network` has.

    Raises `ConfigError` for a method or settings that contradict them, `Unsupported` for an adapter of no method here.
    """
    settings = adapters_of(network).configs[ADAPTER]
    method = _method(config, folder, settings)
    name = WAYS[method].settings
    given, usual = getattr(config, name), config.usual_settings()[name]
    if given not in (usual, settings):
        raise ConfigError(
            "an adapter that is trained further keeps the settings that it has",
            received=f"{name}: {given}",
            expected=f"{name}: {settings}",
            fix=f"leave the settings of {name} out",
        )
    return dataclasses.replace(config, method=method, **{name: settings})


def made_from(folder: pathlib.Path, named: pathlib.Path) -> dict[str, str]:
    """What the new adapter tells of its base and of the adapter in `folder`, which the user called `named`."""
    digest = weights_sha256(folder)
    assert digest is not None, "it was read"
    return {**parent_facts(base_folder(folder)), "adapter": str(named), "adapter_sha256": digest}


def _method(config: FinetuneConfig, folder: pathlib.Path, settings: AdapterConfig) -> MethodName:
    described = read_description(folder)
    possible = _methods_with(settings, config.usual_settings(), described.get("quantize"))
    if not possible:
        raise Unsupported(
            "an adapter of this kind is not trained further",
            received=f"{folder}: {method_of(settings).name}",
            expected=f"one that a method of fine-tuning makes: {', '.join(_adapting())}",
            fix=f"make it part of its base first: trivium merge {folder} --output FOLDER",
        )
    recorded = described.get("method")
    chosen = config.method or (recorded if recorded in possible else possible[0])
    if chosen not in possible:
        raise ConfigError(
            "the adapter is of another method than the one that was asked for",
            received=f"method {chosen}, for {folder}",
            expected=" or ".join(possible),
            fix="leave method out, or give the base to begin a new adapter",
        )
    return chosen


def _methods_with(settings: AdapterConfig, usual: dict[str, Any], quantize: str | None) -> list[MethodName]:
    """The methods whose adapters may have these settings, those that say most of them first."""
    fitting: list[MethodName] = [
        name
        for name in _adapting()
        if type(usual[WAYS[name].settings]) is type(settings)
        and WAYS[name].quantize == quantize
        and all(getattr(settings, field) == value for field, value in WAYS[name].fixed.items())
    ]
    return sorted(fitting, key=lambda name: -len(WAYS[name].fixed))


def _adapting() -> list[MethodName]:
    return [name for name, way in WAYS.items() if way.part is None]
