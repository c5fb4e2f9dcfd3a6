"""What networks understand, in one table: polarity of movie reviews and entities of WNUT-17.

    python benchmarks/figures/understanding.py

Reads what reviews.py and entities.py wrote into benchmarks/results/ and prints one row a model: accuracy on the test
fold of the reviews, and strict entity F1 on the test set of WNUT-17, each with its 95 % interval. A model that was
measured on one of them only has an empty cell. The same table as a page: benchmarks/results/understanding.html.
"""

import json
import pathlib
from collections.abc import Iterator

from trivium.reports import page, parts

_RESULTS = pathlib.Path(__file__).resolve().parent.parent / "results"
_HEADINGS = ("model", "polarity, accuracy", "WNUT-17, F1")


def polarity() -> Iterator[tuple[str, str]]:
    """(model, accuracy with its interval)."""
    for path in sorted(_RESULTS.glob("reviews-polarity-*.json")):
        for name, found in json.loads(path.read_text())["contenders"].items():
            yield name, _told(*(100 * found[key] for key in ("accuracy", "low", "high")))


def entities() -> Iterator[tuple[str, str]]:
    """(model, F1 with its interval)."""
    for path in sorted(_RESULTS.glob("entities-*.json")):
        result = json.loads(path.read_text())
        yield result["cell"], _told(result["test"]["f1"], *result["test"]["interval"])


def _told(figure: float, low: float, high: float) -> str:
    return f"{figure:.1f} ({low:.1f}-{high:.1f})"


def main() -> None:
    tasks = [dict(polarity()), dict(entities())]
    known = {name for task in tasks for name in task}
    names = sorted(known, key=lambda name: ([name not in task for task in tasks], name))
    rows = [(name, *(task.get(name, "") for task in tasks)) for name in names]
    for row in (_HEADINGS, *rows):
        print(f"{row[0]:22s} {row[1]:>20s} {row[2]:>20s}")
    about = parts.paragraph(
        "Test sets, with 95 % intervals; networks trained from nothing, without pretrained vectors."
    )
    section = page.Section(title="Two tasks", body=parts.table(_HEADINGS, rows))
    made = page.Page(
        title="What networks understand",
        head=about,
        sections=[section],
        foot="python benchmarks/figures/understanding.py",
    )
    page.write(made, _RESULTS / "understanding.html")


if __name__ == "__main__":
    main()
