"""``config.json`` and weight maps of the families that only Trivium knows: field and tensor names are our own."""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar

from trivium.config import from_dict, to_dict
from trivium.errors import ConfigError
from trivium.nn.recurrent import KERNEL_NAMES
from trivium.nn.weight_map import Rename, WeightMap

Config = TypeVar("Config")

# What a folder's writer, or transformers, adds to any config.json and a network is not built from.
_ENVELOPE = {"model_type", "architectures", "dtype", "torch_dtype", "transformers_version", "quantization_config"}
_TOKEN_IDS = {"bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "decoder_start_token_id"}


def read_config(kind: type[Config], config: dict[str, Any]) -> Config:
    """The dataclass ``kind`` from a ``config.json``; ``ConfigError`` that tells every unknown or wrong field."""
    fields = {name: value for name, value in config.items() if name not in _ENVELOPE | _TOKEN_IDS}
    if "id2label" in fields:
        fields.pop("label2id", None)
        fields["labels"] = _labels(fields.pop("id2label"))
    return from_dict(kind, fields, source="config.json")


def write_config(config: Any, model_type: str, architecture: str) -> dict[str, Any]:
    """What ``read_config`` reads back to an equal configuration; ``labels`` are written as transformers writes them."""
    assert dataclasses.is_dataclass(config)
    fields = to_dict(config)
    if "labels" in fields:
        labels = fields.pop("labels")
        fields["id2label"] = {str(number): label for number, label in enumerate(labels)}
        fields["label2id"] = {label: number for number, label in enumerate(labels)}
    return {"model_type": model_type, "architectures": [architecture], **fields}


def check_labels(labels: tuple[str, ...]) -> None:
    """Refuse the labels of a head where there is none, an empty one, or the same one twice."""
    if not labels or not all(labels) or len(set(labels)) < len(labels):
        raise ConfigError(
            "these cannot be the labels of a head",
            received=", ".join(map(repr, labels)) or "none",
            expected="at least one, each with a name of its own",
        )


def _labels(id2label: Any) -> list[Any]:
    """The labels in the order of their ids; ``ConfigError`` where the ids are not 0, 1, 2, ..."""
    numbers = [str(number) for number in range(len(id2label))] if isinstance(id2label, dict) else []
    if not numbers or set(id2label) != set(numbers):
        raise ConfigError(
            "id2label does not number the labels", received=id2label, expected='{"0": a label, "1": another, ...}'
        )
    return [id2label[number] for number in numbers]


def same_names(names: Iterable[str], *, layers: int = 0, tied: tuple[str, ...] = ()) -> WeightMap:
    """The map of a family whose files hold our own names."""
    return WeightMap(tuple(Rename(name, name) for name in names), layers, tied)


def decoder_names(config: Any, block: Iterable[str], *others: str) -> WeightMap:
    """The map of a decoder whose files hold our own names: embedding, ``config.layers`` blocks of the tensors
    ``block``, the last norm, ``others`` outside the blocks, and a head where it is not ``config.tied``."""
    names = ["embedding.weight", *(f"blocks.{{i}}.{name}" for name in block), "norm.weight", *others]
    names += ["head.weight"] * (not config.tied)
    return same_names(names, layers=config.layers, tied=("head.weight",) if config.tied else ())


def recurrent_names(layers: int, *, tied: bool, projected: bool = False) -> WeightMap:
    """The map of a recurrent language model: embedding, ``layers`` blocks, a projection where there is one, head."""
    names = ["embedding.weight", *(f"blocks.{{i}}.{name}" for name in KERNEL_NAMES), "head.bias"]
    names += ["projection.weight"] * projected + ["head.weight"] * (not tied)
    return same_names(names, layers=layers, tied=("head.weight",) if tied else ())
