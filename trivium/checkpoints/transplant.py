"""The body of a saved model under a new head: where fine-tuning begins.

    network = with_head(Path("runs/pretrain/checkpoints/best"), "classification", ("no", "yes"))

A body knows nothing of its head, so that the same tensors read for any task (Devlin et al. 2018, section 3). What a
head has learnt belongs to its task: a new one is drawn, even where the saved model has one of the same kind.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Set
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor, nn

from trivium.checkpoints.model_folder import load_model, read_hf_config
from trivium.checkpoints.stored_tensors import StoredTensors
from trivium.errors import CheckpointError, Unsupported
from trivium.models import architecture
from trivium.nn.weight_map import WeightMap

HEADS = frozenset({"head", "classify", "tag", "span"})
"""The attributes of a network that are heads; `trivium.models.head_format` says which has which."""
_MAY_BE_NEW = "pooler"
"""The part of BERT's body that only some heads stand on: taken where there is one, else drawn."""
_NAMED = 12


def with_head(
    folder: str | pathlib.Path, head: str, labels: tuple[str, ...] = (), *, fresh: bool = False, **changes: Any
) -> nn.Module:
    """The network of a saved model with ``head`` in place of its own, in float32 and evaluation mode.

    Args:
        folder: of a model that Trivium or `transformers` saved.
        head: "classification", "regression", "tagging", "span", or "none" for the body alone.
        labels: what the head tells apart, in the order of their classes.
        fresh: draw every weight anew, so that only the shape is the saved model's.
        changes: further fields of its configuration, such as ``dropout``.

    Weights that are new are drawn from the present state of torch's generator, and are the same ones whether the body
    is ``fresh`` or not.

    Raises:
        Unsupported: the architecture has no such head, or none at all.
        CheckpointError: the folder cannot be read, or its body is not all of the new network's body.
    """
    folder = pathlib.Path(folder)
    hf = read_hf_config(folder)
    entry = architecture(hf["model_type"])
    config = entry.config_class().from_hf(hf)
    if not heads_of(type(config)):
        raise Unsupported(
            f"{entry.name} has no head but its own",
            received=f"{folder}: head {head}",
            expected="an encoder such as bert",
        )
    if head not in heads_of(type(config)):
        raise Unsupported(
            f"{entry.name} has no head for this", received=head, expected=", ".join(heads_of(type(config)))
        )
    usual = dataclasses.replace(config, head=head, labels=labels, **_without_pooler(config, head))
    network = entry.model_class()(dataclasses.replace(usual, **changes)).float()
    if not fresh:
        with torch.device("meta"):
            needed = _body(entry.model_class()(usual))
        saved = _body(load_model(folder))
        saved |= _beside(folder, entry.weight_map(usual), needed.keys() - saved.keys())
        _take_body(network, saved, needed, folder)
    return network.eval()


def _without_pooler(config: Any, head: str) -> dict[str, Any]:
    """A bare body has none: nothing would stand on it."""
    return {_MAY_BE_NEW: False} if head == "none" and _MAY_BE_NEW in vars(config) else {}


def _beside(folder: pathlib.Path, mapping: WeightMap, lacking: Set[str]) -> dict[str, Tensor]:
    """Those of the ``lacking`` tensors that the folder holds though its own head does not stand on them: published
    files of BERT's masked model have the pooler too."""
    stored = StoredTensors(folder)
    aliases = stored.known_as(mapping)
    found = {}
    for entry, ours, theirs in mapping.expand():
        if lacking >= set(ours) and aliases.keys() >= set(theirs):
            tensors = entry.to_ours([stored.read(aliases[name]) for name in theirs])
            found |= dict(zip(ours, tensors, strict=True))
    return found


def heads_of(config: type) -> tuple[str, ...]:
    """The heads that networks of a configuration's class may have; none where they cannot choose."""
    named = {field.name: field.type for field in dataclasses.fields(config)}
    return _named_in(named.get("head"))


def _named_in(kind: Any) -> tuple[str, ...]:
    """The texts that a `Literal`, or a union of several, names."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(name for part in get_args(kind) for name in _named_in(part))


def _take_body(
    network: nn.Module, theirs: Mapping[str, Tensor], needed: Mapping[str, Tensor], folder: pathlib.Path
) -> None:
    """Copies ``theirs``, the saved body, into ``network``; ``needed`` is the body that this head has on a network of
    the saved sizes, without a decoder, say. Raises `CheckpointError` with all that does not fit."""
    ours = _body(network)
    if not any(_part(name) == _MAY_BE_NEW for name in theirs):
        ours, needed = ({name: part[name] for name in part if _part(name) != _MAY_BE_NEW} for part in (ours, needed))
    faults = [f"missing: {name}" for name in ours if name not in theirs]
    faults += [f"left over: {name}" for name in needed if name not in ours]
    faults += [
        f"{name}: {list(theirs[name].shape)}, the new network has {list(ours[name].shape)}"
        for name in ours
        if name in theirs and theirs[name].shape != ours[name].shape
    ]
    if faults:
        more = [f"... and {len(faults) - _NAMED} more"] if len(faults) > _NAMED else []
        raise CheckpointError(
            "the body of the saved model does not fit under the new head",
            received="\n".join([str(folder), *faults[:_NAMED], *more]),
            fix="change no sizes of the model, or draw its weights anew with fresh",
        )
    for name, tensor in ours.items():
        tensor.copy_(theirs[name])


def _body(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in network.state_dict().items() if _part(name) not in HEADS}


def _part(name: str) -> str:
    return name.partition(".")[0]
