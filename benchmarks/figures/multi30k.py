"""Multi30k, German to English: one fixed context, attention, a small Transformer; BLEU by length of the source.

    python benchmarks/figures/multi30k.py                      # every cell that is not finished
    python benchmarks/figures/multi30k.py --cell transformer   # one of them
    python benchmarks/figures/multi30k.py --steps 20           # a trial, into a folder of its own

29,000 captions are trained on as they are (not tokenised, not lower-cased), with one vocabulary of 8,000 byte-level
pieces for both languages; the checkpoint is chosen on `val`; `test_2016_flickr` is translated with a beam of 5 and
scored by sacreBLEU on detokenised text, signature included. One seed. A cell is one call of the translation recipe and
takes at most 45 minutes on two cores; stopped, it goes on where it was. Compare the tutorials whose figures are the
goals (bentrevett's: 13.8 with a fixed context, 28.3 with attention, 36.5 with a Transformer; lower-cased, tokenised,
greedy). The data is looked for in TRIVIUM_SHARED, else in shared/data beside the repository; it is for research only.
Results: benchmarks/results/multi30k-CELL.json, and multi30k.html once all are there.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import time
from typing import Any

import torch

import trivium
from trivium.data.parallel import read_parallel
from trivium.evaluation.metrics.bleu import bleu
from trivium.evaluation.metrics.chrf import chrf
from trivium.lm.local import LocalModel
from trivium.recipes.training import TrainingConfig
from trivium.recipes.translation import (
    SharedVocabularyConfig,
    TranslationConfig,
    translation,
)
from trivium.recipes.translator import TranslatorConfig
from trivium.reports import page, parts
from trivium.runtime import machine
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_DATA = _SHARED / "nc-multi30k"


def _recipe(name: str, model: TranslatorConfig, *, rate: float, epochs: float) -> TranslationConfig:
    return TranslationConfig(
        source=_DATA / "train.de.gz",
        target=_DATA / "train.en.gz",
        validation_source=_DATA / "val.de.gz",
        validation_target=_DATA / "val.en.gz",
        run=f"multi30k-{name}",
        vocabulary=SharedVocabularyConfig(kind="byte_bpe", size=8000),
        model=model,
        rows=64,
        optimiser=OptimiserConfig(learning_rate=rate, beta2=0.98, weight_decay=0.01),
        schedule=ScheduleConfig(kind="cosine", warmup_steps=400, floor=0.02),
        training=TrainingConfig(log_every_steps=50, evaluate_every_steps=454, checkpoint_every_steps=227),
        epochs=epochs,
    )


CELLS = {
    "transformer": _recipe(
        "transformer",
        TranslatorConfig(architecture="transformer", width=256, layers=3, heads=8, inner_width=512, dropout=0.2),
        rate=8e-4,
        epochs=14,
    ),
    "attention": _recipe(
        "attention",
        TranslatorConfig(architecture="luong", width=384, embedding_width=256, dropout=0.3, tied=False),
        rate=2e-3,
        epochs=9,
    ),
    "fixed": _recipe(
        "fixed",
        TranslatorConfig(architecture="cho", width=512, embedding_width=256, dropout=0.3),
        rate=2e-3,
        epochs=7,
    ),
}
"""What is run: name and recipe. Budgets are in epochs: the speed of a machine drifts."""
GOALS = {"fixed": 14.0, "attention": 29.0, "transformer": 37.0}
NAMES = {"fixed": "Cho 2014, fixed context", "attention": "Luong 2015, attention", "transformer": "Vaswani 2017"}
COLOURS = {"fixed": "muted", "attention": "second", "transformer": "first"}
LENGTHS = ((1, 7), (8, 9), (10, 11), (12, 13), (14, 16), (17, 40))
"""Words of the source, from and to."""


def run_cell(name: str, recipe: TranslationConfig, results: pathlib.Path) -> None:
    """Trains what is left of a cell, translates the test set and writes the result."""
    start = time.perf_counter()
    run = trained(recipe)
    model = trivium.load(run.folder)
    pairs = read_parallel(_DATA / "test_2016_flickr.de.gz", _DATA / "test_2016_flickr.en.gz")
    sources, references = [source for source, _ in pairs], [target for _, target in pairs]
    written = {beams: translated(model, sources, beams) for beams in (1, recipe.beams)}
    scores = {beams: bleu(texts, references) for beams, texts in written.items()}
    rows = run.metrics()
    here = machine.describe()
    result = {
        "cell": name,
        "bleu": scores[recipe.beams]["bleu"],
        "signature": scores[recipe.beams]["signature"],
        "bleu_greedy": scores[1]["bleu"],
        "bleu_lowercase": bleu(written[recipe.beams], references, lowercase=True)["bleu"],
        "chrf": chrf(written[recipe.beams], references)["chrf"],
        "by_length": by_length(sources, written[recipe.beams], references),
        "validation_loss": min(row["validation_loss"] for row in rows if row["validation_loss"] is not None),
        "goal": GOALS[name],
        "steps": rows[-1]["step"],
        "training_seconds": rows[-1]["seconds"],
        "seconds_of_this_call": time.perf_counter() - start,
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "curve": [[row["step"], row["validation_loss"]] for row in rows if row["validation_loss"] is not None],
        "examples": [list(each) for each in zip(sources[:8], references[:8], written[recipe.beams][:8], strict=True)],
        "machine": {"processor": here.processor, "cores": here.cores, "threads": torch.get_num_threads()},
        "recipe": run.config,
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / f"multi30k-{name}.json").write_text(json.dumps(result, indent=2, default=str) + "\n")
    reached = "met" if result["bleu"] >= GOALS[name] else "MISSED"
    print(f"{name}: BLEU {result['bleu']:.1f} ({result['bleu_greedy']:.1f} greedy), {reached}: goal {GOALS[name]:.0f}")


def trained(recipe: TranslationConfig) -> Run:
    """The run of a cell, finished."""
    folder = recipe.output / recipe.run
    begun = (folder / "config.yaml").is_file()
    if begun:
        run = Run.open(folder)
        rows = run.metrics()
        if rows and rows[-1]["step"] >= run.config["steps"]:
            return run
    return translation(dataclasses.replace(recipe, resume=begun))


def translated(model: LocalModel, sources: list[str], beams: int) -> list[str]:
    """What the model writes for each source."""
    return [answer.text.strip() for answer in model.generate(sources, max_new_tokens=80, beams=beams)]


def by_length(sources: list[str], written: list[str], references: list[str]) -> list[dict[str, Any]]:
    """BLEU of the sentences whose source has so many words."""
    found = []
    for first, last in LENGTHS:
        chosen = [i for i, source in enumerate(sources) if first <= len(source.split()) <= last]
        score = bleu([written[i] for i in chosen], [references[i] for i in chosen])
        found.append({"from": first, "to": last, "sentences": len(chosen), "bleu": score["bleu"]})
    return found


def draw(results: pathlib.Path) -> None:
    """The page of all three cells, where all of them are finished."""
    found = {name: results / f"multi30k-{name}.json" for name in CELLS}
    if not all(path.is_file() for path in found.values()):
        return
    cells = {name: json.loads(path.read_text()) for name, path in found.items()}
    places = [(first + last) / 2 if last < LENGTHS[-1][1] else first + 2 for first, last in LENGTHS]
    curves = [
        (NAMES[name], COLOURS[name], places, [row["bleu"] for row in cell["by_length"]]) for name, cell in cells.items()
    ]
    headings = ("model", "parameters", "minutes", "BLEU", "greedy", "chrF", "goal")
    rows = [
        (NAMES[name], cell["parameters"], cell["training_seconds"] / 60, cell["bleu"], cell["bleu_greedy"],
         cell["chrf"], cell["goal"])
        for name, cell in cells.items()
    ]  # fmt: skip
    source, reference, _ = next(iter(cells.values()))["examples"][0]
    samples = [("source", source), ("reference", reference)]
    samples += [(NAMES[name], cell["examples"][0][2]) for name, cell in cells.items()]
    picture = parts.lines(
        curves,
        x="words of the source",
        y="BLEU",
        label="BLEU of the three models by length of the source",
        caption="The same 1,000 sentences for all, in six groups by the number of words of the source.",
    )
    page.write(
        page.Page(
            title="Multi30k, German to English",
            head=parts.paragraph(f"test_2016_flickr, beam 5; {next(iter(cells.values()))['signature']}"),
            sections=[
                page.Section(title="Three models", body=parts.table(headings, rows)),
                page.Section(title="By length", body=picture),
                page.Section(title="One sentence", body=parts.compared("test", samples)),
            ],
            foot="python benchmarks/figures/multi30k.py",
        ),
        results / "multi30k.html",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=sorted(CELLS), help="only this one")
    parser.add_argument("--steps", type=int, help="a trial of so many steps, kept apart from the results")
    parser.add_argument("--output", type=pathlib.Path, default=_REPOSITORY / "runs", help="folder of the runs")
    asked = parser.parse_args()
    results = _HERE.parent / "results"
    for name in [asked.cell] if asked.cell else CELLS:
        recipe = dataclasses.replace(CELLS[name], output=asked.output)
        if asked.steps is not None:
            recipe = dataclasses.replace(recipe, steps=asked.steps, run=f"{recipe.run}-trial-{asked.steps}")
            run_cell(name, recipe, asked.output / "trials")
        elif not (results / f"multi30k-{name}.json").is_file():
            run_cell(name, recipe, results)
    draw(results)


if __name__ == "__main__":
    main()
