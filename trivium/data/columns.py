"""Columns by name: which of a file's columns is which of ours, as people write it.

columns_of(["prompt=question,completion=answer"])      # {"prompt": "question", "completion": "answer"}
"""

from collections.abc import Sequence

from trivium.errors import ConfigError


def columns_of(words: Sequence[str], *, setting: str = "columns") -> dict[str, str]:
    """Ours and theirs, from words of the form ours=theirs; several may stand in one word, with commas between them.

    Args:
        words: what was given.
        setting: what it is called, for messages.

    Raises:
        ConfigError: a word without "=", with nothing on one side of it, or two for the same name.
    """
    found: dict[str, str] = {}
    for word in words:
        parts = word.split(",")
        # A comma may stand in a name as well: then not every part is a pair.
        for part in parts if all("=" in part for part in parts) else [word]:
            ours, equals, theirs = part.partition("=")
            if not equals or not ours.strip() or not theirs.strip():
                raise ConfigError(
                    f"{setting} are pairs with = between them",
                    received=part,
                    expected="ours=theirs, as prompt=question,completion=answer",
                )
            if ours.strip() in found:
                raise ConfigError(f"{setting} name {ours.strip()} twice", received=", ".join(words))
            found[ours.strip()] = theirs.strip()
    return found
