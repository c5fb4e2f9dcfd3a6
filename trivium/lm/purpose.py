"""What a model is for, beside continuing a text: known from its folder alone, before any weight is read."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from trivium.checkpoints.model_folder import read_hf_config
from trivium.checkpoints.provenance import read_description
from trivium.models import Architecture, architecture
from trivium.models.scored import is_scored

Writing = Literal["translation", "summarisation", "text_to_text", "answering"]
"""What a text is written for a text for."""
Purpose = Literal[
    "classification",
    "regression",
    "tagging",
    "answering",
    "embedding",
    "filling",
    "translation",
    "summarisation",
    "text_to_text",
]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
_OF_HEAD: dict[str, Purpose] = {
    "classification": "classification",
    "regression": "regression",
    "tagging": "tagging",
    "span": "answering",
}
_LABELLING = ("recurrent", "decoder")
"""Kinds of language models that may predict the label of a text, or a text of a label."""
_PUBLISHED_TASKS: tuple[tuple[str, Purpose], ...] = (("summarization", "summarisation"), ("translation", "translation"))
"""How the ``task_specific_params`` of published files begin the names of their tasks."""
_TRANSLATORS = ("transformer", "seq2seq", "luong", "cho", "sutskever")
"""Encoder-decoders that are taken for translators where nothing is said of them."""
_FILLERS = ("glm",)
"""Those that are published as models that fill blanks."""


def purpose(hf: Mapping[str, Any], described: Mapping[str, Any]) -> Purpose | None:
    """What a model with this ``config.json`` and this ``trivium.json`` is for; None for a plain language model.

    The head decides where there is one. A bare encoder, and what was trained so, embeds texts. A language model that
    was trained to label texts says so in ``trivium.json``. An encoder-decoder writes a text for a text, unless it was
    trained to fill blanks: which, its ``trivium.json`` says; of published ones the only task that their configuration
    speaks of. A masked encoder fills blanks.
    """
    row, objective = architecture(str(hf["model_type"])), described.get("objective")
    if row.kind == "classifier":  # those that can have no other head do not name it
        return _OF_HEAD[str(hf.get("head", "classification"))]
    head = _head(row, hf)
    if head in _OF_HEAD:
        return _OF_HEAD[head]
    if objective == "embedding" or (head == "none" and "encoder" in row.kind):
        return "embedding"
    if objective == "classification" and row.kind in _LABELLING:
        return "classification"
    if row.kind == "encoder":
        return "filling" if head in ("language", "pretraining") else None
    if not row.kind.endswith("encoder-decoder"):
        return None
    if objective is None and row.name not in _FILLERS:
        return "translation" if row.name in _TRANSLATORS else _published_task(hf)
    written: dict[Any, Purpose] = {name: name for name in get_args(Writing)}
    return written.get(objective, "filling")


def _head(row: Architecture, hf: Mapping[str, Any]) -> str:
    """The head that a ``config.json`` names; "language" for architectures that name none."""
    choosing = any(field.name == "head" for field in dataclasses.fields(row.config_class()))
    return row.configuration(dict(hf)).head if choosing or is_scored(row, hf) else "language"


def _published_task(hf: Mapping[str, Any]) -> Purpose:
    tasks = hf.get("task_specific_params")
    named = list(tasks) if isinstance(tasks, dict) else []
    found: set[Purpose] = {ours for name in named for begins, ours in _PUBLISHED_TASKS if name.startswith(begins)}
    return found.pop() if len(found) == 1 else "text_to_text"


def purpose_of_folder(folder: Path) -> Purpose | None:
    """``purpose`` of a saved model. Raises ``CheckpointError`` where the folder holds none that this release knows."""
    return purpose(read_hf_config(folder), read_description(folder))
