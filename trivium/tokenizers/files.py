"""Reading the files of a tokenizer, with errors that name them."""

import json
from pathlib import Path
from typing import Any

from trivium.errors import StorageError, TokenizerError

CONFIG: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
"""What `tokenizer_config.json` says for every tokenizer we make: `transformers` must not tidy the decoded text."""


def read_bytes(path: Path) -> bytes:
    """The content of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(
            "the tokenizer cannot be read", received=f"{path}: {error.strerror}", fix="check the permissions"
        ) from error


def read_text(path: Path) -> str:
    """The content of a UTF-8 file, its line ends as they are."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(path, f"not UTF-8 at byte {error.start}") from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is no such file."""
    if not path.exists():
        return {}
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(content, dict):
        raise damaged(path, f"a JSON {type(content).__name__}")
    return content


def read_config(folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json` of a folder, with the chat template that newer folders keep in a file of its own."""
    config = read_object(folder / "tokenizer_config.json")
    template = folder / "chat_template.jinja"
    return {**config, "chat_template": read_text(template)} if template.exists() else config


def read_vocabulary(path: Path) -> dict[str, int]:
    """A JSON object of pieces and their ids."""
    vocabulary = read_object(path)
    if not vocabulary or not all(type(id) is int and id >= 0 for id in vocabulary.values()):
        raise damaged(path, "not an object of pieces and ids")
    return vocabulary


def damaged(path: Path, reason: str) -> TokenizerError:
    """The error for a file that does not hold what its name says."""
    return TokenizerError(
        "the tokenizer file is damaged", received=f"{path}: {reason}", fix="copy or download the file again"
    )
