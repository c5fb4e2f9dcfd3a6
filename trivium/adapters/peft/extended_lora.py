"""LORA with ``modules_to_save`` and ``trainable_token_indices``; it reads a plain LoRA as well, and says that it is."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.extended_lora import ExtendedLoRAConfig
from trivium.adapters.holder import holders
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.peft.form import Tensors
from trivium.adapters.peft.lora import LORA
from trivium.adapters.peft.trained_copy import copied_tensors, fill_copies, read_copies
from trivium.adapters.peft.trained_tokens import fill_rows, read_tokens, row_tensors, write_tokens
from trivium.adapters.swapped import Swapped

_INSIDE = "token_adapter."


@contextmanager
def _lora_alone(model: nn.Module, name: str) -> Iterator[None]:
    """Inside the context ``name`` is its LoRA and nothing else, which is what the format of a LoRA knows."""
    configs = adapters_of(model).configs
    config: ExtendedLoRAConfig | LoRAConfig = configs[name]
    beside = [holder.updates for _, holder in holders(model, name) if isinstance(holder, Swapped)]
    parts = [updates.pop(name) for updates in beside]
    configs[name] = config.lora if isinstance(config, ExtendedLoRAConfig) else config
    try:
        yield
    finally:
        configs[name] = config
        for updates, part in zip(beside, parts, strict=True):
            updates[name] = part


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    config: ExtendedLoRAConfig = adapters_of(model).configs[name]
    with _lora_alone(model, name):
        options = LORA.to_options(model, name)
    return options | {
        "modules_to_save": None if config.copies is None else list(config.copies.modules),
        "trainable_token_indices": None if config.tokens is None else write_tokens(model, config.tokens),
    }


def _from_options(model: nn.Module, options: Mapping[str, Any]) -> ExtendedLoRAConfig | LoRAConfig:
    lora = LORA.from_options(model, options)
    copies, tokens = read_copies(model, options), read_tokens(model, options)
    return lora if copies is None and tokens is None else ExtendedLoRAConfig(lora=lora, copies=copies, tokens=tokens)


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    with _lora_alone(model, name):
        tensors = LORA.tensors(model, name)
    return tensors | copied_tensors(model, name) | row_tensors(model, name, inside=_INSIDE)


def _fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    with _lora_alone(model, name):
        LORA.fill(model, name, tensors)
    fill_copies(model, name, tensors)
    fill_rows(model, name, tensors, inside=_INSIDE)


EXTENDED_LORA = dataclasses.replace(
    LORA,
    config=ExtendedLoRAConfig,
    read=LORA.read | {"modules_to_save", "trainable_token_indices"},
    to_options=_to_options,
    from_options=_from_options,
    tensors=_tensors,
    fill=_fill,
)
