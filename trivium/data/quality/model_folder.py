"""A small trained model as a folder: its arrays, and beside them what they are and the hash that they must have."""

import hashlib
import json
from pathlib import Path

import numpy as np

from trivium.errors import DataError

ABOUT, WEIGHTS = "model.json", "model.safetensors"
_BLOCK = 1 << 20


def save_model(folder: str | Path, about: dict, tensors: dict[str, np.ndarray]) -> None:
    """`model.safetensors` with the arrays, and `model.json` with all else and their SHA-256, in a folder that is
    made."""
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / WEIGHTS)
    about = {**about, "sha256": _sha256(folder / WEIGHTS)}
    (folder / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_model(folder: str | Path, format_name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """What `save_model` wrote.

    Raises:
        DataError: a file is missing, damaged or altered, or the model is of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if not isinstance(about, dict) or about.get("format") != format_name:
            raise damaged(folder, f"not of the format {format_name}")
        if about.get("sha256") != _sha256(folder / WEIGHTS):
            raise damaged(folder, f"{WEIGHTS} is not the one that {ABOUT} names")
        tensors = load_file(folder / WEIGHTS)
    except DataError:
        raise
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise damaged(folder, error) from error
    return about, tensors


def damaged(folder: str | Path, reason: object) -> DataError:
    """The error for a folder that `load_model` should have read."""
    return DataError(
        "the folder does not hold a model that can be read",
        received=f"{folder}: {reason}",
        expected=f"{ABOUT} and {WEIGHTS} as they were saved",
        fix="copy the folder again, or train the model anew",
    )


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
