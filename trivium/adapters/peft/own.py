"""Formats of our own, for methods that PEFT lacks: the settings as they are, and tensors under our names.

PEFT refuses such a folder by its ``peft_type``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trivium import config
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters
from trivium.adapters.peft.form import Form, Tensors


def own_form(peft_type: str, kind: type) -> Form:
    """The format of a method whose settings ``kind`` are all that its parts are built from."""
    fields = frozenset(field.name for field in dataclasses.fields(kind))

    def from_options(model: nn.Module, options: Mapping[str, Any]) -> Any:
        return config.from_dict(kind, {name: options[name] for name in fields & options.keys()}, source=peft_type)

    return Form(
        peft_type=peft_type,
        config=kind,
        needed=frozenset(),
        read=fields,
        without_effect=frozenset(),
        to_options=_to_options,
        from_options=from_options,
        tensors=own_tensors,
        fill=fill_own,
    )


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    return config.to_dict(adapters_of(model).configs[name])


def own_tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """By the names of the modules that they are beside: ``blocks.0.after_attention.down``."""
    parameters = adapter_parameters(model, name)
    return {_plain(path, name): parameter.detach().clone() for path, parameter in parameters.items()}


def fill_own(model: nn.Module, name: str, tensors: Tensors) -> None:
    """The inverse of ``own_tensors``."""
    for path, parameter in adapter_parameters(model, name).items():
        parameter.copy_(tensors[_plain(path, name)])


def _plain(path: str, name: str) -> str:
    """Without what other adapters of the model change: where a holder stands inside another, and the name."""
    return path.replace(f".updates.{name}.", ".").replace(".base.", ".")
