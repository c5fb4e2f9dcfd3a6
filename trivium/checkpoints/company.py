"""What stands beside the weights of a model or an adapter, so that whoever opens the folder uses it as it was meant.

generation_config.json    ids that end or begin a text, and sampling defaults
tokenizer.json ...        what the tokenizer saves
"""

import pathlib
import platform
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch

import trivium
from trivium.checkpoints.folder import FolderWriter
from trivium.data.provenance import tokenizer_sha256


@runtime_checkable
class SavedTokenizer(Protocol):
    """What a folder needs of a tokenizer."""

    @property
    def bos_id(self) -> int | None: ...

    @property
    def eos_id(self) -> int | None: ...

    @property
    def pad_id(self) -> int | None: ...

    def save(self, folder: pathlib.Path) -> None:
        """Writes `tokenizer.json` and its company into `folder`."""
        ...


def write_company(
    writer: FolderWriter, tokenizer: SavedTokenizer | None, generation: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Writes both, and gives what `trivium.json` says of them and of what wrote them.

    `generation` adds to or overrides the ids taken from the tokenizer. Its files are taken in by `writer.adopt`.
    """
    ids = {} if tokenizer is None else _special_ids(tokenizer)
    writer.write_json("generation_config.json", ids | dict(generation or {}))
    told: dict[str, Any] = {}
    if tokenizer is not None:
        tokenizer.save(writer.path)
        digest = tokenizer_sha256(writer.path)
        told |= {} if digest is None else {"tokenizer_sha256": digest}
    return told | {"versions": versions()}


def versions() -> dict[str, str]:
    """Of what computes."""
    return {"trivium": trivium.__version__, "torch": str(torch.__version__), "python": platform.python_version()}


def _special_ids(tokenizer: SavedTokenizer) -> dict[str, int]:
    ids = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }
    return {name: number for name, number in ids.items() if number is not None}
