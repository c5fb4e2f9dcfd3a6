"""Opening and saving a model: a folder, or the address of a service, in, a ``LanguageModel`` out, and back."""

import copy
import difflib
import json
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, overload

from torch import nn

from trivium import tokenizers
from trivium.adapters.adapter_set import adapters_of, has_adapters
from trivium.adapters.attach import detach
from trivium.adapters.attach import merge as merge_adapter
from trivium.adapters.routing import activate
from trivium.checkpoints.adapter_folder import check_base, load_adapter, scores_of
from trivium.checkpoints.model_folder import load_model, read_hf_config, save_folder
from trivium.checkpoints.provenance import (
    Origin,
    base_named,
    is_adapter,
    is_model,
    named_place,
    read_description,
    weights_sha256,
)
from trivium.checkpoints.retention import saved_steps, step_folder
from trivium.errors import CheckpointError, StorageError, Unsupported
from trivium.generation import generation_config
from trivium.lm.embedding import sentence_facts
from trivium.lm.hosted.address import is_service, read_service
from trivium.lm.hosted.model import HostedModel, purpose_of_service
from trivium.lm.local import LocalModel
from trivium.lm.purpose import Purpose, purpose_of_folder
from trivium.lm.reward_rows import kept_facts
from trivium.models.scored import ScoredConfig, with_scores
from trivium.nn.quantized import NF4Linear
from trivium.nn.quantized_experts import NF4GroupedLinear
from trivium.runtime.device import choose_device, choose_dtype

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_GENERATION = "generation_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "encoder.json", "source.spm", "target.spm")


@overload
def load(
    path_or_id: pathlib.Path,
    *,
    adapter: str | pathlib.Path | dict[str, str | pathlib.Path] | None = None,
    dtype: str = "float32",
    device: str = "auto",
    quantize: str | None = None,
    any_base: bool = False,
) -> LocalModel: ...


@overload
def load(
    path_or_id: str,
    *,
    adapter: str | pathlib.Path | dict[str, str | pathlib.Path] | None = None,
    dtype: str = "float32",
    device: str = "auto",
    quantize: str | None = None,
    any_base: bool = False,
) -> LocalModel | HostedModel: ...


def load(
    path_or_id: str | pathlib.Path,
    *,
    adapter: str | pathlib.Path | dict[str, str | pathlib.Path] | None = None,
    dtype: str = "float32",
    device: str = "auto",
    quantize: str | None = None,
    any_base: bool = False,
) -> LocalModel | HostedModel:
    """The model of a Hugging Face folder, or one that is reached as a service, ready for use.

    ``path_or_id`` is a folder with ``config.json``, or the folder of a training run: its best checkpoint, else its
    last. An adapter's folder (PEFT's, or a run that trained one) is opened on the base that it names, with the
    tokenizer and the settings for writing that were saved beside it. A folder without a tokenizer gives a model that
    takes and gives ids only.

    ``adapter`` is a PEFT folder or a run, which answers are then given with, or several by name, of which
    ``generate(..., adapter=name)`` chooses one a call. One that was made for other weights is refused, by their
    SHA-256, unless ``any_base`` says that they will do.

    ``quantize="nf4"`` packs the matrices of the blocks in 4 bits (QLoRA's NormalFloat) as they are read, one by one;
    "none" does not. None is "none", and for an adapter's folder as it was when the adapter was trained.

    A text may also name a service: "openai:MODEL", "anthropic:MODEL", "openai:MODEL@http://127.0.0.1:8000/v1", or a
    YAML file of its settings; see ``trivium.lm.hosted.address``. A ``Path`` is always a folder.

    Raises ``StorageError`` or ``CheckpointError`` for a folder that is not there, not a model or
    damaged, ``TokenizerError`` where the tokenizer has more ids than the model, ``Unsupported`` for what
    this release does not have, ``UserError`` for a device or number format this machine has not, ``ConfigError`` for a
    service that is not known or has no key.
    """
    if isinstance(path_or_id, str) and is_service(path_or_id):
        return _hosted(path_or_id, adapter=adapter, dtype=dtype, device=device, quantize=quantize)
    if quantize not in (None, "nf4", "none"):
        raise Unsupported(
            "this release does not quantise so", received=f"quantize={quantize}", expected="nf4, none, or None"
        )
    opened = saved_folder(path_or_id)
    folder, adapters = _opened(opened, adapter)
    scores = _scores(adapters)
    if quantize is None and folder != opened:
        quantize = read_description(opened).get("quantize")
    target = choose_device(device)

    def network() -> nn.Module:
        made = load_model(folder, dtype=choose_dtype(dtype, target), device=target, nf4=quantize == "nf4")
        if scores is not None and not isinstance(made.config, ScoredConfig):
            made = with_scores(made, scores)
        _attach(made, adapters, folder, any_base=any_base)
        if adapters:
            activate(made, None if isinstance(adapter, dict) else "default")
        return made

    return _with_company(folder, adapters, network)


def _attach(network: nn.Module, adapters: Mapping[str, pathlib.Path], base: pathlib.Path, *, any_base: bool) -> None:
    """Puts the adapters of these folders on the network from ``base``, whose weights they must be made for."""
    for name, place in adapters.items():
        if not any_base:
            check_base(place, base)
        load_adapter(place, network, name)


def _scores(adapters: Mapping[str, pathlib.Path]) -> tuple[str, ...] | None:
    """The names of the scores where all of the adapters bring a head of the same ones: the base is then under it."""
    (first, *others) = [scores_of(place) for place in adapters.values()] or [None]
    return first if all(other == first for other in others) else None


def _with_company(
    folder: pathlib.Path, adapters: dict[str, pathlib.Path], network: Callable[[], nn.Module]
) -> LocalModel:
    """What ``network`` makes, with what stands beside its weights; that is small, so it is read, or refused, first."""
    # What was saved with a single adapter is how that one is used; several share what their base has.
    told = [*adapters.values(), folder] if len(adapters) == 1 else [folder]
    config_file = read_hf_config(folder)
    of_tokenizer = next((place for place in told if _has_tokenizer(place)), None)
    tokenizer = None if of_tokenizer is None else tokenizers.load(of_tokenizer)
    of_generation = next((place for place in told if (place / _GENERATION).is_file()), folder)
    generation, sentences = stated_generation(of_generation, config_file), sentence_facts(folder)
    made = network()
    if isinstance(made.config, ScoredConfig):  # which an adapter may have made of a language model
        config_file |= made.config.to_hf()
    model = LocalModel(
        made,
        tokenizer,
        generation=generation,
        config_file=config_file,
        origin=Origin(folder=folder, described=read_description(folder), adapters=adapters),
        embedding=sentences,
    )
    if tokenizer is not None:
        tokenizers.check_vocabulary(tokenizer, model.config.vocabulary_size)
    return model


def _opened(
    folder: pathlib.Path, adapter: str | pathlib.Path | dict[str, str | pathlib.Path] | None
) -> tuple[pathlib.Path, dict[str, pathlib.Path]]:
    """The folder of the network, and those of its adapters by name."""
    if is_model(folder) or not is_adapter(folder):
        return folder, {name: saved_folder(path) for name, path in _by_name(adapter).items()}
    if adapter is not None:
        raise Unsupported(
            "an adapter cannot be the base of another",
            received=folder,
            fix=f"give the base, and both as adapters: adapter={{'first': {str(folder)!r}, ...}}",
        )
    return base_folder(folder), {"default": folder}


def base_folder(folder: pathlib.Path) -> pathlib.Path:
    """The folder of the network: ``folder`` itself, and of an adapter its base's.

    Of the places that the adapter names, one with the weights that it was made for comes before one with others.
    Raises ``CheckpointError`` where there is none on this machine.
    """
    if is_model(folder) or not is_adapter(folder):
        return folder
    named = base_named(folder)
    places = [place for place in (named_place(folder, name) for name in named) if place is not None]
    found = [place for place in map(saved_folder, places) if is_model(place)]
    recorded = read_description(folder).get("parent_sha256")
    if not found:
        raise CheckpointError(
            "this is an adapter, and the base that it was made for is not here",
            received=f"{folder}: {' or '.join(named) or 'names no base'}",
            expected="a folder of the base's weights under this path, from here or from beside the adapter",
            fix=f"put it back there, or name it: load(BASE, adapter={str(folder)!r}), on the command line "
            f"--model BASE --adapter {folder}",
        )
    return next((place for place in found if recorded == weights_sha256(place)), found[0])


def _has_tokenizer(folder: pathlib.Path) -> bool:
    return any((folder / name).is_file() for name in _TOKENIZER_FILES)


def _hosted(name: str, **of_weights: object) -> HostedModel:
    """The model behind a service. Raises ``Unsupported`` for what only weights on this machine have."""
    service = read_service(name)
    usual = {"dtype": "float32", "device": "auto"}
    for setting, given in of_weights.items():
        if given not in (None, usual.get(setting)):
            raise Unsupported(
                f"{service.name} is reached as a service: its weights are not here",
                received=f"{setting}={given}",
                fix=f"leave {setting} out",
            )
    return HostedModel(service)


def purpose_of(path_or_id: str | pathlib.Path) -> Purpose | None:
    """What a model is for beside continuing texts, known before any weight is read and any service is asked.

    Raises as ``saved_folder`` does, ``ConfigError`` for a service that is not known.
    """
    if is_service(str(path_or_id)):
        return purpose_of_service(read_service(str(path_or_id)))
    folder = saved_folder(path_or_id)
    if not is_model(folder) and scores_of(folder) is not None:
        return "regression"
    return purpose_of_folder(base_folder(folder))


def _by_name(
    adapter: str | pathlib.Path | dict[str, str | pathlib.Path] | None,
) -> dict[str, str | pathlib.Path]:
    return adapter if isinstance(adapter, dict) else {} if adapter is None else {"default": adapter}


def save(model: LocalModel, folder: str | pathlib.Path, *, merge: bool = False) -> None:
    """Writes ``model`` as a folder that ``load`` and, where it knows the family, ``transformers`` open.

    What the model was made from (data, parent) goes with it. ``merge`` folds the active adapter into the saved weights,
    whose parent is then the base; a model with adapters is not saved otherwise. Raises ``StorageError``, also for a
    folder that holds anything but an earlier save, and ``Unsupported`` for a quantised model.
    """
    if any(isinstance(module, NF4Linear | NF4GroupedLinear) for module in model.network.modules()):
        raise Unsupported("a quantised model cannot be saved by this release", fix='load it with quantize="none"')
    if has_adapters(model.network):
        if not merge:
            raise Unsupported(
                "a model with adapters is two things, and this saves one",
                fix="save(model, folder, merge=True) folds the active adapter into the weights",
            )
        _save_merged(model, folder)
        return
    metadata = None if model.origin is None else model.origin.facts()
    if model.purpose == "embedding":
        metadata = {**(metadata or {}), **model.embedding.to_json()}
    save_folder(folder, model.network, tokenizer=model.tokenizer, generation=model.generation, metadata=metadata)


def _save_merged(model: LocalModel, folder: str | pathlib.Path) -> None:
    """A copy of the base with the active adapter folded in; the model in memory stays as it is."""
    active = adapters_of(model.network).routing.active
    if active is None:
        raise Unsupported("no adapter is active, so there is none to merge", fix="load one with adapter=FOLDER")
    network = copy.deepcopy(model.network)
    merge_adapter(network, active)
    detach(network)
    metadata = None if model.origin is None else model.origin.merged(active)
    if model.origin is not None and active in model.origin.adapters:
        metadata = {**(metadata or {}), **kept_facts(read_description(model.origin.adapters[active]))}
    save_folder(folder, network, tokenizer=model.tokenizer, generation=model.generation, metadata=metadata)


def _nearest(path: pathlib.Path) -> str | None:
    """What was meant, where the folder above exists and holds something of nearly this name."""
    if not path.parent.is_dir() or path.parent == pathlib.Path():
        return None
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
    return f"did you mean {path.parent / near[0]}?" if near else None


def saved_folder(path_or_id: str | pathlib.Path) -> pathlib.Path:
    """The folder that holds the weights: of a run, its best checkpoint, else its last.

    Raises ``StorageError``, ``CheckpointError`` or ``Unsupported`` where there is none.
    """
    path = pathlib.Path(path_or_id).expanduser()
    if not path.exists():
        if _HUB_ID.fullmatch(str(path_or_id)):
            raise Unsupported(
                "there is no such folder here, and this release does not download models",
                received=path_or_id,
                expected="a folder with config.json and model.safetensors",
                fix=_nearest(path)
                or f"check the path, or download the model first: hf download {path_or_id} --local-dir FOLDER",
            )
        raise StorageError("there is no such folder", received=path_or_id, fix="check the path")
    if path.is_file():
        raise CheckpointError("a model is a folder, and this is a file", received=path, fix=f"give {path.parent}")
    if is_model(path) or is_adapter(path) or not (path / "checkpoints").is_dir():
        return path  # where it is no model either, reading it says what is missing
    checkpoints = path / "checkpoints"
    for name in ("best", "last"):
        if is_model(checkpoints / name) or is_adapter(checkpoints / name):
            return checkpoints / name
    steps = saved_steps(checkpoints)
    if not steps:
        raise CheckpointError(
            "this run has saved no checkpoint yet",
            received=path,
            fix="let it train until the first one is saved",
        )
    return step_folder(checkpoints, steps[-1])


def stated_generation(folder: pathlib.Path, config_file: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``generation_config.json``; where there is none, what the model's own configuration says of it.

    Raises ``CheckpointError`` for a file that is damaged.
    """
    path = folder / _GENERATION
    if not path.is_file():
        return generation_config.from_model_config(config_file)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON", received=error, fix="copy it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a mapping", received=type(content).__name__, fix="copy it again")
    return content
