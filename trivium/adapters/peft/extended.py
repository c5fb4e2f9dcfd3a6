"""LORA with ``modules_to_save``, ``trainable_token_indices`` and ``ensure_weight_tying``, IA3 with ``modules_to_save``;
they read plain ones as well, and say that they are."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.extended import ExtendedIA3Config, ExtendedLoRAConfig
from trivium.adapters.holder import holders
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.peft.form import PREFIX, Form, Tensors
from trivium.adapters.peft.ia3 import IA3
from trivium.adapters.peft.lora import LORA
from trivium.adapters.peft.trained_copy import copied_tensors, fill_copies, read_copies, write_copies
from trivium.adapters.peft.trained_tokens import (
    embedding_name,
    fill_rows,
    head_name,
    read_tokens,
    row_tensors,
    write_tokens,
)
from trivium.adapters.shared_table import SharedUpdate, sharers
from trivium.adapters.swapped import StandIn
from trivium.adapters.trained_copy import is_named
from trivium.errors import CheckpointError

_INSIDE = "token_adapter."
_TARGETS, _COPIES, _TIED = "target_modules", "modules_to_save", "ensure_weight_tying"


@contextmanager
def _alone(model: nn.Module, name: str) -> Iterator[None]:
    """Inside the context ``name`` has nothing beside its LoRA or (IA)3, which is what the plain format knows."""
    configs = adapters_of(model).configs
    config = configs[name]
    updates = [holder.updates for _, holder in holders(model, name)]
    beside = [own for own in updates if isinstance(own[name], StandIn | SharedUpdate)]
    parts = [own.pop(name) for own in beside]
    configs[name] = config.update if isinstance(config, ExtendedLoRAConfig | ExtendedIA3Config) else config
    try:
        yield
    finally:
        configs[name] = config
        for own, part in zip(beside, parts, strict=True):
            own[name] = part


def _lora_to_options(model: nn.Module, name: str) -> dict[str, Any]:
    config: ExtendedLoRAConfig = adapters_of(model).configs[name]
    with _alone(model, name):
        options = LORA.to_options(model, name)
    copies = None if config.copies is None else write_copies(model, config.copies)
    options |= {
        _COPIES: copies,
        "trainable_token_indices": None if config.tokens is None else write_tokens(model, config.tokens),
        _TIED: config.tied,
    }
    return _with_head(model, options) if config.tied else options


def _with_head(model: nn.Module, options: dict[str, Any]) -> dict[str, Any]:
    """With the head named beside the embedding: PEFT ties only where it finds ``embed_tokens`` or ``lm_head``."""
    tables = [name for name in (embedding_name(model), head_name(model)) if name is not None]
    for key in (_TARGETS, _COPIES):
        names = options[key]
        if isinstance(names, list) and any(_is_named(table, names) for table in tables):
            options = options | {key: [*names, *(table for table in tables if not _is_named(table, names))]}
    return options


def _without_head(model: nn.Module, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inverse: our tied head has no layer of its own to be named."""
    head, embedding = head_name(model), embedding_name(model)
    for key in (_TARGETS, _COPIES):
        names = options.get(key)
        if names and not isinstance(names, str) and head is not None and _is_named(head, names):
            kept = [name for name in names if not _is_named(head, [name])]
            options = {**options, key: kept if _is_named(embedding, kept) else [*kept, embedding]}
    return options


def _is_named(module: str, endings: list[str]) -> bool:
    return any(is_named(module, ending) for ending in endings)


def _settled(model: nn.Module, options: Mapping[str, Any], tensors: Tensors) -> Mapping[str, Any]:
    """Whether PEFT has tied what it was asked to: only the tensors of both tables tell, since it goes by their names.

    ``CheckpointError`` where the two are not the same.
    """
    head = head_name(model) if options.get(_TIED) and sharers(model) else None
    place = f"{PREFIX}{embedding_name(model)}." if head is not None else ""
    if head is None or not any(key.startswith(f"{PREFIX}{head}.") for key in tensors):
        return {**options, _TIED: False}
    pairs = {
        "weight": (tensors.get(f"{place}weight"), tensors.get(f"{PREFIX}{head}.weight")),
        "lora_A": (_transposed(tensors, f"{place}lora_embedding_B"), tensors.get(f"{PREFIX}{head}.lora_A.weight")),
        "lora_B": (_transposed(tensors, f"{place}lora_embedding_A"), tensors.get(f"{PREFIX}{head}.lora_B.weight")),
    }
    for label, (first, second) in pairs.items():
        if first is not None and second is not None and not torch.equal(first, second):
            raise CheckpointError(
                "the embedding and the output head of this adapter are to be tied, and are not the same",
                received=f"{label} of {head}",
                expected="ensure_weight_tying false, or the same numbers",
                fix="in training PEFT parts them where the model is moved or converted: move it before, and save again",
            )
    return {**_without_head(model, options), _TIED: True}


def _transposed(tensors: Tensors, key: str) -> Tensor | None:
    return tensors[key].t() if key in tensors else None


def _lora_from_options(model: nn.Module, options: Mapping[str, Any]) -> ExtendedLoRAConfig | LoRAConfig:
    update, tied = LORA.from_options(model, options), bool(options.get(_TIED))
    copies, tokens = read_copies(model, options), read_tokens(model, options)
    if copies is None and tokens is None and not tied:
        return update
    return ExtendedLoRAConfig(update=update, copies=copies, tokens=tokens, tied=tied)


def _lora_tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    with _alone(model, name):
        tensors = LORA.tensors(model, name)
    return tensors | copied_tensors(model, name) | row_tensors(model, name, inside=_INSIDE) | _shared(model, name)


def _shared(model: nn.Module, name: str) -> dict[str, Tensor]:
    """What tied heads have of the embedding's update, which PEFT stores a second time."""
    parts = [holder.updates[name] for _, holder in holders(model, name)]
    found = {}
    for part in parts:
        if isinstance(part, SharedUpdate):
            a, b = part.factors()
            found[f"{PREFIX}{part.theirs}.lora_A.weight"] = a.detach().clone(memory_format=torch.contiguous_format)
            found[f"{PREFIX}{part.theirs}.lora_B.weight"] = b.detach().clone(memory_format=torch.contiguous_format)
    return found


def _lora_fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    with _alone(model, name):
        LORA.fill(model, name, tensors)
    fill_copies(model, name, tensors)
    fill_rows(model, name, tensors, inside=_INSIDE)


EXTENDED_LORA = dataclasses.replace(
    LORA,
    config=ExtendedLoRAConfig,
    read=LORA.read | {_COPIES, "trainable_token_indices", _TIED},
    to_options=_lora_to_options,
    from_options=_lora_from_options,
    tensors=_lora_tensors,
    fill=_lora_fill,
    settled=_settled,
)


def _ia3_to_options(model: nn.Module, name: str) -> dict[str, Any]:
    config: ExtendedIA3Config = adapters_of(model).configs[name]
    with _alone(model, name):
        options = IA3.to_options(model, name)
    return options | {_COPIES: write_copies(model, config.copies)}


def _ia3_from_options(model: nn.Module, options: Mapping[str, Any]) -> ExtendedIA3Config | IA3Config:
    update, copies = IA3.from_options(model, options), read_copies(model, options)
    return update if copies is None else ExtendedIA3Config(update=update, copies=copies)


def _ia3_tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    with _alone(model, name):
        tensors = IA3.tensors(model, name)
    return tensors | copied_tensors(model, name)


def _ia3_fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    with _alone(model, name):
        IA3.fill(model, name, tensors)
    fill_copies(model, name, tensors)


EXTENDED_IA3: Form = dataclasses.replace(
    IA3,
    config=ExtendedIA3Config,
    read=IA3.read | {_COPIES},
    to_options=_ia3_to_options,
    from_options=_ia3_from_options,
    tensors=_ia3_tensors,
    fill=_ia3_fill,
)
