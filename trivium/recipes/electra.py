"""The pair of networks that ELECTRA is pre-trained as: how it is built and what of it is kept."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trivium.checkpoints.folder import FolderWriter
from trivium.checkpoints.model_folder import write_model
from trivium.models.electra_pair import ElectraPair, part_of

GENERATOR = "generator"
"""The folder of the generator, inside that of the discriminator."""


def write_pair(writer: FolderWriter, pair: ElectraPair, weights: Mapping[str, Tensor], **facts: Any) -> None:
    """The discriminator is the model of the folder, for it is what is tuned; the generator, a masked language model,
    lies in a folder inside (the published ones are two checkpoints). ``facts`` are those of `write_model`."""
    beside = FolderWriter(writer.path / GENERATOR)
    write_model(beside, pair.generator, part_of(weights, "generator"), **facts)
    write_model(writer, pair.discriminator, part_of(weights, "discriminator"), **facts)
