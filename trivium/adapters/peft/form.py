"""What a PEFT format is to us: how its configuration is read and written, and which of our tensors it stores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trivium.errors import CheckpointError, Unsupported

Options, Tensors = Mapping[str, Any], Mapping[str, Tensor]
PREFIX = "base_model.model."
"""What PEFT puts before the name of a module of the base."""

# Bookkeeping, and how weights were drawn or distributed: nothing that changes the result once the weights are there.
_WITHOUT_EFFECT = {
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "peft_type",
    "peft_version",
    "revision",
    "runtime_config",
    "task_type",
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """One ``peft_type``."""

    peft_type: str
    """As ``adapter_config.json`` names it; one that PEFT does not have begins with ``TRIVIUM_``."""
    config: type
    """Our settings that are written so."""
    needed: frozenset[str]
    """Options that must be there."""
    read: frozenset[str]
    """Further options that ``from_options`` reads."""
    without_effect: frozenset[str]
    """Further options that change nothing once the weights are there; any other that is set is refused."""
    to_options: Callable[[nn.Module, str], dict[str, Any]]
    """``to_options(model, name)``: the adapter's own part of ``adapter_config.json``."""
    from_options: Callable[[nn.Module, Mapping[str, Any]], Any]
    """``from_options(model, options)``: our settings. ``Unsupported`` for values that are not computed here."""
    tensors: Callable[[nn.Module, str], dict[str, Tensor]]
    """``tensors(model, name)``: detached, under PEFT's names, in PEFT's shapes."""
    fill: Callable[[nn.Module, str, Tensors], None]
    """``fill(model, name, tensors)``: the inverse, for tensors of the right names and shapes, without gradients."""
    settled: Callable[[nn.Module, Options, Tensors], Options] = lambda _model, options, _tensors: options
    """``settled(model, options, tensors)``: the options, where only the tensors tell what they came to."""
    base_tensors: Callable[[nn.Module, str], dict[str, Tensor]] = lambda _model, _name: {}
    """``base_tensors(model, name)``: tensors of the base under the names by which PEFT may store them as well."""


def check_options(form: Form, options: Mapping[str, Any]) -> None:
    """``CheckpointError`` where an option that is needed is absent, ``Unsupported`` for one that is not computed."""
    missing = form.needed - {key for key, value in options.items() if value}
    if missing:
        raise CheckpointError("adapter_config.json is incomplete", received=f"no {', '.join(sorted(missing))}")
    known = form.needed | form.read | form.without_effect | _WITHOUT_EFFECT
    refuse({key: value for key, value in options.items() if key not in known and value})


def refuse(options: Mapping[str, Any]) -> None:
    """``Unsupported`` for ``options``, where there are any."""
    if options:
        raise Unsupported(
            "options of this PEFT adapter that are not computed here",
            received=", ".join(f"{key}: {value}" for key, value in sorted(options.items())),
            fix="merge it into its base with PEFT and load the merged model",
        )


def without_base(own: Tensors, tensors: Tensors) -> dict[str, Tensor]:
    """``tensors`` without those of the base that a folder brings along; ``CheckpointError`` where they are others."""
    for key in own.keys() & tensors.keys():
        mine, brought = own[key].detach().float(), tensors[key].to(own[key].device).float()
        if mine.shape != brought.shape or not torch.allclose(mine, brought, rtol=1e-2, atol=1e-3):
            raise CheckpointError(
                "the adapter was made for another base: a tensor of the base that it brings along differs",
                received=f"{key}: {list(brought.shape)}, the model has {list(mine.shape)}",
                fix="load it on the base model it was trained on",
            )
    return {key: tensor for key, tensor in tensors.items() if key not in own}


def check_shapes(expected: Mapping[str, torch.Size], tensors: Tensors) -> None:
    """``CheckpointError`` that names every tensor too few, too many or of another shape."""
    wrong = [f"missing: {key}" for key in expected.keys() - tensors.keys()]
    wrong += [f"unexpected: {key}" for key in tensors.keys() - expected.keys()]
    wrong += [
        f"{key}: {list(tensors[key].shape)}, the model and adapter_config.json say {list(shape)}"
        for key, shape in expected.items()
        if key in tensors and tensors[key].shape != shape
    ]
    if wrong:
        raise CheckpointError(
            "the adapter does not fit this model",
            received="\n".join(sorted(wrong)[:20]),
            fix="load it on the base model it was trained on",
        )
