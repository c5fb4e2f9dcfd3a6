"""What a model is for, beside continuing a text: known from its folder alone, before any weight is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from trivium.checkpoints.model_folder import read_hf_config
from trivium.checkpoints.provenance import read_description
from trivium.models import architecture

Purpose = Literal["classification", "tagging", "translation"]
_LABELLING = ("recurrent", "decoder")
"""Kinds of language models that may predict the label of a text, or a text of a label."""
PURPOSES: tuple[Purpose, ...] = ("classification", "tagging", "translation")


def purpose(hf: Mapping[str, Any], described: Mapping[str, Any]) -> Purpose | None:
    """What a model with this ``config.json`` and this ``trivium.json`` is for; None for a plain language model.

    The head decides where there is one. A language model that was trained to label texts says so in ``trivium.json``.
    An encoder-decoder writes a text for a text: it is taken for a translator unless its folder says otherwise.
    """
    kind, objective = architecture(str(hf["model_type"])).kind, described.get("objective")
    if kind == "classifier":  # those that can have no other head do not name it
        return "tagging" if hf.get("head") == "tagging" else "classification"
    if objective == "classification" and kind in _LABELLING:
        return "classification"
    return "translation" if kind.endswith("encoder-decoder") and objective in (None, "translation") else None


def purpose_of_folder(folder: Path) -> Purpose | None:
    """``purpose`` of a saved model. Raises ``CheckpointError`` where the folder holds none that this release knows."""
    return purpose(read_hf_config(folder), read_description(folder))
