"""The key to a service: read from where only its owner reads, told to the service and to nobody else."""

import base64
import os
import pathlib
import stat
import urllib.parse
from typing import Any

from trivium.errors import ConfigError, StorageError

HIDDEN = "[key]"
_LIKENESS = 8  # as many characters of a key in a row are taken for a part of it
_LONGEST_FILE = 4096


class Key:
    """A secret. It does not print, compare, copy into a file or cross to another process."""

    __slots__ = ("_forms", "_secret")

    def __init__(self, secret: str) -> None:
        self._secret = secret
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        self._forms = tuple(dict.fromkeys((secret, urllib.parse.quote(secret, safe=""), encoded)))

    def __repr__(self) -> str:
        return "Key(hidden)"

    def __reduce__(self) -> Any:
        raise TypeError("a key is not written anywhere")

    def reveal(self) -> str:
        """The secret, for the header of a request."""
        return self._secret

    def hide(self, text: str) -> str:
        """``text`` without the key: services quote it in their errors, whole, cut off, or with its middle left out."""
        for form in self._forms:
            text = _without(text, form)
        return text

    def hide_in(self, value: Any) -> Any:
        """A parsed JSON value with the key hidden in each of its texts, the names of its fields included.

        Not one that is shorter than any secret: servers of one's own are given words such as EMPTY, and answers hold
        those words too.
        """
        if len(self._secret) < _LIKENESS:
            return value
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self.hide_in(each) for each in value]
        if isinstance(value, dict):
            return {self.hide(name): self.hide_in(each) for name, each in value.items()}
        return value


def _without(text: str, secret: str) -> str:
    """``text`` with every run of characters hidden in which all windows are windows of ``secret``."""
    width = min(_LIKENESS, len(secret))
    windows = {secret[at : at + width] for at in range(len(secret) - width + 1)}
    if not any(window in text for window in windows):
        return text
    pieces, shown, at = [], 0, 0
    while at <= len(text) - width:
        if text[at : at + width] not in windows:
            at += 1
            continue
        pieces += [text[shown:at], HIDDEN]
        while at <= len(text) - width and text[at : at + width] in windows:
            at += 1
        shown = at = at + width - 1
    return "".join([*pieces, text[shown:]])


def read_key(variable: str | None, file: pathlib.Path | None, *, required: bool) -> Key | None:
    """The key in ``file``, else in the environment ``variable``; None where there is none and none is required.

    Raises ``ConfigError`` where it is missing or cannot be a key, ``StorageError`` for a file that others can read.
    """
    secret = _of_file(file) if file is not None else os.environ.get(variable or "", "").strip()
    source = str(file) if file is not None else f"${variable}"
    if not secret:
        if not required and file is None:
            return None
        raise ConfigError(
            "the service needs a key, and there is none",
            received=f"nothing in {source}",
            expected="the key that the service gave you",
            fix=f"export {variable}=..." if file is None else f"write the key into {file}",
        )
    if not secret.isascii() or not secret.isprintable() or " " in secret:  # it becomes a line of an HTTP header
        raise ConfigError(
            "this cannot be a key",
            received=f"{len(secret)} characters in {source}, with white space or other than ASCII",
            expected="one word",
            fix="copy it again",
        )
    return Key(secret)


def _of_file(file: pathlib.Path) -> str:
    try:
        with file.expanduser().open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise StorageError(
            "the file of the key cannot be read", received=f"{file}: {error.strerror}", fix="check the path"
        ) from None
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise StorageError(
            "others on this machine can read the file of the key",
            received=f"{file}, mode {stat.S_IMODE(mode):04o}",
            expected="mode 0600",
            fix=f"chmod 600 {file}",
        )
    try:
        return content.decode("ascii").strip() if len(content) <= _LONGEST_FILE else " "
    except UnicodeDecodeError:
        return "\N{REPLACEMENT CHARACTER}"
