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


def write_tasks(path: pathlib.Path, pairs: pathlib.Path) -> pathlib.Path:
    """The same pairs of two tasks, of which one is four times as large as the other."""
    lines = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    tasks = ["large" if number % 5 else "small" for number in range(len(lines))]
    path.write_text("".join(json.dumps({**line, "task": task}) + "\n" for line, task in zip(lines, tasks, strict=True)))
    return path
