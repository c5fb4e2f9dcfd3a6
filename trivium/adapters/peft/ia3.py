"""IA3: a column of ``out`` numbers a layer, or a row of ``in`` where the inputs are multiplied."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.adapted_linear import AdaptedLinear
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.holder import holders
from trivium.adapters.ia3 import IA3Config, RescalingUpdate, with_targets
from trivium.adapters.peft.form import PREFIX, Form, Tensors
from trivium.adapters.peft.targets import read_targets, write_targets
from trivium.adapters.sites import sites


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    config = with_targets(model, adapters_of(model).configs[name])
    return {
        "target_modules": write_targets(config.targets),
        "feedforward_modules": write_targets(config.feedforward),
        "exclude_modules": write_targets(config.exclude) or None,
        "fan_in_fan_out": any(site.transposed for site in sites(model)),
    }


def _from_options(model: nn.Module, options: Mapping[str, Any]) -> IA3Config:
    return IA3Config(
        targets=read_targets(options["target_modules"]),
        feedforward=read_targets(options.get("feedforward_modules")),
        exclude=read_targets(options.get("exclude_modules")),
    )


def _vectors(model: nn.Module, name: str) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Each vector under PEFT's name, and the dimension of size 1 that it has there."""
    for _, layer in holders(model, name):
        assert isinstance(layer, AdaptedLinear)
        for update in layer.updates_of(name):
            assert isinstance(update, RescalingUpdate)
            yield f"{PREFIX}{update.theirs}.ia3_l", update.vector, 0 if update.changes_inputs else 1


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    return {key: vector.detach().unsqueeze(dim).clone() for key, vector, dim in _vectors(model, name)}


def _fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    for key, vector, dim in _vectors(model, name):
        vector.copy_(tensors[key].squeeze(dim))


IA3 = Form(
    peft_type="IA3",
    config=IA3Config,
    needed=frozenset({"target_modules"}),
    read=frozenset({"feedforward_modules", "exclude_modules"}),
    without_effect=frozenset({"fan_in_fan_out", "init_ia3_weights"}),
    to_options=_to_options,
    from_options=_from_options,
    tensors=_tensors,
    fill=_fill,
)
