"""Adapters become part of a model, several adapters become one, several models become one.

    merge(MergeConfig(adapters=(Path("runs/finetune"),), output=Path("merged")))

A model that comes out is a plain folder in the number format of the one it was made from; sums are taken in fp32. An
adapter that was trained on a base in 4 bits learnt to go with that base: with ``quantised`` it is merged into the
weights that the 4 bits stand for, and the drift from base and adapter apart is told.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import detach
from trivium.adapters.attach import merge as merge_adapter
from trivium.adapters.combine import CombinationConfig, combine, combined
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.methods import METHODS, method_of
from trivium.adapters.routing import activate
from trivium.checkpoints.adapter_folder import save_adapter
from trivium.checkpoints.folder import replaceable
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.checkpoints.provenance import (
    is_adapter,
    parent_facts,
    read_adapter_config,
    read_description,
    weights_sha256,
)
from trivium.checkpoints.stored_tensors import StoredTensors
from trivium.data.documents import read_text
from trivium.data.embedded import embedded_entries
from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.evaluation.drift import Drift, drift
from trivium.lm.load import load, saved_folder
from trivium.lm.local import LocalModel
from trivium.lm.reward_rows import kept_facts
from trivium.models import architecture
from trivium.nn.quantized import dequantise
from trivium.nn.weight_map import WeightMap, load_into

_COMPARED_TOKENS, _ROW_TOKENS = 1024, 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class MergeConfig:
    """Merges adapters into their base, or several adapters or models into one."""

    adapters: tuple[pathlib.Path, ...] = ()
    """Folders of adapters, or of runs that made them; all for one base."""
    models: tuple[pathlib.Path, ...] = ()
    """Instead of adapters: folders of whole models of one architecture and size."""
    base: pathlib.Path | None = None
    """The model the adapters are for, where it is not found at the place they tell; of models, the one they were all
    tuned from: what is combined are then their differences from it. Without it models are averaged as they are."""
    weights: tuple[float, ...] = ()
    """A factor for each adapter or model; none given: 1 each, of models without a base equal parts of 1."""
    combination: CombinationConfig = dataclasses.field(default_factory=CombinationConfig)
    """How several become one."""
    into: Literal["model", "adapter"] = "model"
    """model: weights that need no adapter; adapter: one adapter for the same base."""
    any_base: bool = False
    """Merge adapters also into other weights than those they were made for: you know better."""
    quantised: bool = False
    """The adapters were trained on the base in 4 bits (QLoRA): merge them into what those stand for."""
    text: pathlib.Path | None = None
    """Text on which the drift of a quantised merge is measured; null for documentation on this machine."""
    output: pathlib.Path = pathlib.Path("merged")
    """Folder of the result."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""

    def __post_init__(self) -> None:
        if bool(self.adapters) == bool(self.models):
            raise ConfigError(
                "either adapters or models are merged",
                received="both" if self.adapters else "none",
                fix="name folders of adapters, or folders of models with --models",
            )
        sources = self.adapters or self.models
        if self.weights and len(self.weights) != len(sources):
            raise ConfigError(
                "every one that is merged needs its weight",
                received=f"{len(self.weights)} weights",
                expected=f"{len(sources)}, one for each of {', '.join(map(str, sources))}",
            )
        if self.models and (self.into == "adapter" or self.quantised or self.combination.rank is not None):
            raise ConfigError("models are merged into a model, whole", fix="leave out into, quantised and rank")
        if self.models and self.combination.kind == "linear":
            raise ConfigError("linear is a way to combine low-rank adapters", fix="choose the kind sum")
        if self.models and self.base is None and self.combination.kind != "sum":
            raise ConfigError(
                f"{self.combination.kind} combines differences from the model that all were tuned from",
                fix="name it with --base",
            )
        if self.into == "adapter" and self.quantised:
            raise ConfigError("an adapter holds nothing of its base", fix="leave quantised out")


def merge(config: MergeConfig) -> dict[str, Any]:
    """`{"output", "kind", "merged": {folder: weight}, "lost", "drift"}`; the last two None where they do not apply.

    Raises `UserError` for folders that are not what they should be or do not fit each other, before anything is
    written.
    """
    replaceable(config.output)
    return _merge_models(config) if config.models else _merge_adapters(config)


# Adapters ----------------------------------------------------------------------------------------------------------


def _merge_adapters(config: MergeConfig) -> dict[str, Any]:
    folders = [_adapter_folder(path) for path in config.adapters]
    base = saved_folder(config.base) if config.base is not None else _common_base(folders)
    weights = dict(zip((f"source_{i}" for i in range(len(folders))), _weights(config, 1.0), strict=True))
    model = load(
        base,
        adapter=dict(zip(weights, map(str, folders), strict=True)),
        device=config.device,
        quantize="nf4" if config.quantised else None,
        any_base=config.any_base,
    )
    name, lost = next(iter(weights)), None
    summed = len(folders) > 1 or weights[name] != 1
    _check_methods(model, dict(zip(weights, config.adapters, strict=True)), into=config.into, summed=summed)
    if summed:
        name = "combined"
        lost = combine(model.network, name, weights, config.combination)
    activate(model.network, name)
    told = _told(config, folders) | {"lost": lost}
    if config.into == "adapter":
        save_adapter(config.output, model.network, name, base=str(base))
        return told | {"drift": None}
    found = _merged(model, name, _compared(config, model) if config.quantised else None)
    metadata = _objective(model) | parent_facts(base) | _provenance(told, folders)
    metadata |= {} if summed else kept_facts(read_description(folders[0]))
    save_folder(
        config.output,
        model.network,
        tokenizer=model.tokenizer,
        dtype=StoredTensors(base).floating_dtype(),
        generation=model.generation,
        metadata=metadata,
    )
    return told | {"drift": None if found is None else dataclasses.asdict(found)}


def _check_methods(model: LocalModel, folders: Mapping[str, pathlib.Path], *, into: str, summed: bool) -> None:
    """Raises `Unsupported`, with its folder, for an adapter that no weights can express or that sums of several cannot
    hold."""
    for name, config in adapters_of(model.network).configs.items():
        method = method_of(config)
        if into == "model" and not method.merges:
            raise Unsupported(
                f"a {method.name} cannot be merged into weights",
                received=folders[name],
                expected=", ".join(other.name for other in METHODS if other.merges),
                fix=f"use it as it is: it is opened with its base, as in trivium chat {folders[name]}",
            )
        is_lora = isinstance(config, LoRAConfig)
        if summed and not (is_lora and not config.decomposed and not config.bias):
            raise Unsupported(
                "only plain LoRAs, without a bias, are added up and weighted",
                received=f"{folders[name]}: {'DoRA' if is_lora and config.decomposed else method.name}",
                fix="merge it alone and whole, without --weights",
            )


def _merged(model: LocalModel, name: str, rows: list[Tensor] | None) -> Drift | None:
    """The model's weights with the adapter in them; compared with what it was before on ``rows``."""
    before = None if rows is None else [model.logits(row).cpu() for row in rows]
    merge_adapter(model.network, name)
    detach(model.network)
    dequantise(model.network)
    if rows is None or before is None:
        return None
    kept = iter(before)
    return drift(lambda _: next(kept), lambda row: model.logits(row).cpu(), rows)


def _compared(config: MergeConfig, model: LocalModel) -> list[Tensor]:
    """Rows of ids to compare predictions on."""
    if config.text is not None:
        text = read_text(config.text)
    else:
        text = "\n\n".join(entry.documentation for entry in embedded_entries(("python",))[:400])
    if model.tokenizer is None:
        raise CheckpointError("the drift is measured on text, and the model has no tokenizer", received=config.base)
    ids = model.tokenizer.encode(text)[:_COMPARED_TOKENS]
    if not ids:
        raise ConfigError("there is no text to measure the drift on", received=config.text, fix="name another file")
    return [torch.tensor([ids[start : start + _ROW_TOKENS]]) for start in range(0, len(ids), _ROW_TOKENS)]


def _adapter_folder(path: pathlib.Path) -> pathlib.Path:
    folder = saved_folder(path)
    if not is_adapter(folder):
        raise CheckpointError(
            "there is no adapter in this folder",
            received=path,
            expected="adapter_config.json and adapter_model.safetensors",
            fix="name whole models with --models",
        )
    return folder


def _common_base(folders: list[pathlib.Path]) -> pathlib.Path:
    """The model that all adapters name as their base."""
    named = {folder: read_adapter_config(folder).get("base_model_name_or_path") for folder in folders}
    if len(set(named.values())) > 1 or None in named.values():
        raise ConfigError(
            "the adapters do not name one base",
            received=", ".join(f"{folder}: {base or 'none'}" for folder, base in named.items()),
            fix="name it with --base; adapters of different models cannot be merged",
        )
    return saved_folder(str(named[folders[0]]))


# Models ------------------------------------------------------------------------------------------------------------


def _merge_models(config: MergeConfig) -> dict[str, Any]:
    """Tensor by tensor, under their published names: one network is in memory, and one tensor of each of the others."""
    folders = [saved_folder(path) for path in config.models]
    origin = folders[0] if config.base is None else saved_folder(config.base)
    shell = load(origin, device="cpu")
    network = load_model(origin, dtype=None)
    mapping = architecture(network.config.to_hf()["model_type"]).weight_map(network.config)
    read = [_reader(folder, mapping, origin) for folder in (origin, *folders)]
    names = list(StoredTensors(origin).known_as(mapping))
    weights = _weights(config, 1.0 if config.base is not None else 1 / len(folders))
    draws = torch.Generator().manual_seed(config.combination.seed)

    def merged(name: str) -> Tensor:
        first, *others = (one(name) for one in read)
        if not first.is_floating_point():
            return first
        start = first.float() if config.base is not None else torch.zeros_like(first, dtype=torch.float32)
        changes = [other.float() - start for other in others]
        return (start + combined(changes, weights, config.combination, draws)).to(first.dtype)

    load_into(network, mapping, names, merged)
    told = _told(config, folders)
    metadata = _objective(shell) | (parent_facts(origin) if config.base is not None else {})
    save_folder(
        config.output,
        network,
        tokenizer=shell.tokenizer,
        generation=shell.generation,
        metadata=metadata | _provenance(told, folders),
    )
    return told | {"lost": None, "drift": None}


def _reader(folder: pathlib.Path, mapping: WeightMap, origin: pathlib.Path) -> Callable[[str], Tensor]:
    """Reads a model's tensors by the weight map's names; `CheckpointError` where they are not those of ``origin``."""
    stored, expected = StoredTensors(folder), StoredTensors(origin)
    aliases, wanted = stored.known_as(mapping), expected.known_as(mapping)
    different = sorted(aliases.keys() ^ wanted.keys())
    both = sorted(wanted.keys() & aliases.keys())
    different += [n for n in both if stored.read(aliases[n]).shape != expected.read(wanted[n]).shape]
    if different:
        raise CheckpointError(
            "the models are not of one architecture and size",
            received=f"{folder}: {', '.join(different[:5])}{' ...' if len(different) > 5 else ''}",
            expected=f"the tensors of {origin}",
        )
    return lambda name: stored.read(aliases[name])


# Both --------------------------------------------------------------------------------------------------------------


def _weights(config: MergeConfig, usual: float) -> tuple[float, ...]:
    return config.weights or (usual,) * len(config.adapters or config.models)


def _told(config: MergeConfig, folders: list[pathlib.Path]) -> dict[str, Any]:
    usual = 1 / len(folders) if config.models and config.base is None else 1.0
    merged = {str(folder): weight for folder, weight in zip(folders, _weights(config, usual), strict=True)}
    return {"output": str(config.output), "kind": config.combination.kind, "merged": merged}


def _provenance(told: Mapping[str, Any], folders: list[pathlib.Path]) -> dict[str, Any]:
    """What `trivium.json` and the model card say."""
    return {
        "merged": dict(told["merged"]),
        "merged_by": told["kind"],
        "merged_sha256": {str(folder): weights_sha256(folder) for folder in folders},
    }


def _objective(model: LocalModel) -> dict[str, Any]:
    objective = None if model.origin is None else model.origin.described.get("objective")
    return {} if objective is None else {"objective": objective}
