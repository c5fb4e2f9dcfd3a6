"""Little texts to train on in tests."""

import json
import pathlib
import random

_WORDS = [
    "the",
    "model",
    "reads",
    "a",
    "text",
    "and",
    "writes",
    "what",
    "comes",
    "next",
    "because",
    "every",
    "word",
    "follows",
    "another",
    "word",
    "in",
    "its",
    "place",
]


def write_notes(folder: pathlib.Path, files: int = 30) -> pathlib.Path:
    """A folder of small text files."""
    chance = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        lines = [" ".join(chance.choice(_WORDS) for _ in range(12)).capitalize() + "." for _ in range(30)]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


def write_pairs(path: pathlib.Path, count: int = 60) -> pathlib.Path:
    """Prompts with completions."""
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            word = chance.choice(_WORDS)
            file.write(json.dumps({"prompt": f"{word} {number}", "completion": f"The {word} follows."}) + "\n")
    return path
