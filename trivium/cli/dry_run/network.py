"""How large a network is, from its configuration alone: it is built without storage, and no weight is read."""

import dataclasses
import pathlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from trivium import tokenizers
from trivium.checkpoints.model_folder import read_hf_config
from trivium.lm.load import base_folder, saved_folder
from trivium.models import architecture
from trivium.runtime.device import choose_device, choose_dtype
from trivium.tokenizers import Tokenizer
from trivium.training.optimisers import OptimiserConfig

MIB = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Saved:
    """A saved model, described."""

    folder: pathlib.Path
    """Where its weights lie."""
    hf: dict[str, Any]
    """The content of its config.json."""
    network: nn.Module
    """Its network, without storage."""
    device: torch.device
    dtype: torch.dtype

    @property
    def parameters(self) -> int:
        """Numbers that were learnt, shared ones counted once."""
        return count(self.network)

    @property
    def kind(self) -> str:
        """Of its architecture: "decoder", "encoder-decoder", ..."""
        return architecture(self.hf["model_type"]).kind

    def facts(self) -> dict[str, Any]:
        """What there is to say of it before it is used."""
        return {
            "model": f"{architecture(self.hf['model_type']).name}, {self.parameters:,} parameters",
            "folder": str(self.folder),
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def weights_mib(self) -> float:
        """Memory of its weights in the number format that it will have."""
        return self.parameters * self.dtype.itemsize / MIB

    def tokenizer(self) -> Tokenizer:
        """Its tokenizer. Raises `UserError` where the folder has none."""
        return tokenizers.load(self.folder)


def saved(model: str | pathlib.Path, device: str, dtype: str) -> Saved:
    """The model of a folder or run. Raises `UserError` for one that is not there or cannot be used so."""
    folder = base_folder(saved_folder(model))
    hf = read_hf_config(folder)
    entry = architecture(hf["model_type"])
    chosen = choose_device(device)
    number_format = choose_dtype(dtype, chosen)
    with torch.device("meta"):
        network = entry.network(entry.configuration(hf)).to(number_format)
    return Saved(folder=folder, hf=hf, network=network, device=chosen, dtype=number_format)


def count(network: nn.Module) -> int:
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def moments(network: Any, config: OptimiserConfig) -> int:
    """Numbers that the optimisers remember from one update to the next."""
    if config.kind == "sgd":  # without momentum
        return 0
    if config.kind == "muon":  # one momentum for the matrices in the blocks, AdamW's two for the rest
        matrices = sum(parameter.numel() for parameter in network.blocks.parameters() if parameter.ndim == 2)
        return 2 * count(network) - matrices
    return 2 * count(network)


def state_bytes(network: Any, capacity: int) -> int:
    """What one text of so many tokens takes while it grows: keys and values, or a recurrent state."""
    with torch.device("meta"):
        leaves = tree_leaves(network.new_state(1, capacity))
    return sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor))
