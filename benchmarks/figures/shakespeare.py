"""Tiny Shakespeare by characters: how low the validation loss gets in about 20 minutes on two cores.

    python benchmarks/figures/shakespeare.py                # every cell that is not finished
    python benchmarks/figures/shakespeare.py --cell llama   # one of them
    python benchmarks/figures/shakespeare.py --steps 20     # a trial, into a folder of its own

A cell is one call of `trivium.pretrain`; stopped, it goes on where it was. The first 90 % of the file is trained on,
the whole last 10 % is validated on, each of its characters scored once, in windows side by side; the figure with
windows that overlap by half, so that every character sees at least half a window, is given beside it. Compare nanoGPT
on the same split: 1.88 by its recipe for CPUs, 1.47 on a GPU after 82 million tokens. The text is looked for in
TRIVIUM_SHARED, else in shared/data beside the repository. Results: benchmarks/results/shakespeare-CELL.json.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import time

import trivium
from trivium.data.prepared import open_prepared
from trivium.evaluation.bits_per_byte import bits_per_byte
from trivium.recipes.pretrain import BatchConfig, ModelConfig, PretrainConfig, VocabularyConfig, pretrain
from trivium.recipes.training import TrainingConfig
from trivium.runtime import machine
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))

CELLS = {
    "llama": PretrainConfig(
        data=_SHARED / "tinyshakespeare" / "input.txt",
        run="shakespeare-llama",
        vocabulary=VocabularyConfig(kind="character", size=None, validation_fraction=0.1),
        model=ModelConfig(architecture="llama", width=192, layers=4, heads=6, dropout=0.1),
        batch=BatchConfig(rows=16, context_tokens=128),
        optimiser=OptimiserConfig(kind="muon", learning_rate=0.004, muon_learning_rate=0.02, weight_decay=0.1),
        schedule=ScheduleConfig(kind="wsd", warmup_steps=40, decay_fraction=0.5),
        training=TrainingConfig(log_every_steps=20, evaluate_every_steps=200, checkpoint_every_steps=100),
        steps=2200,
    ),
    "llama-256": PretrainConfig(
        data=_SHARED / "tinyshakespeare" / "input.txt",
        run="shakespeare-llama-256",
        vocabulary=VocabularyConfig(kind="character", size=None, validation_fraction=0.1),
        model=ModelConfig(architecture="llama", width=256, layers=6, heads=8, dropout=0.2),
        batch=BatchConfig(rows=16, context_tokens=256),
        optimiser=OptimiserConfig(kind="muon", learning_rate=0.003, muon_learning_rate=0.015, weight_decay=0.0),
        schedule=ScheduleConfig(kind="wsd", warmup_steps=40, decay_fraction=0.5),
        training=TrainingConfig(log_every_steps=20, evaluate_every_steps=400, checkpoint_every_steps=200),
        steps=3000,
    ),
}
"""What is run: name and recipe. Budgets are in steps: the speed of a machine drifts."""


def run_cell(name: str, recipe: PretrainConfig, results: pathlib.Path) -> None:
    """Trains what is left of a cell and writes its result."""
    folder = recipe.output / recipe.run
    recipe = dataclasses.replace(recipe, resume=(folder / "config.yaml").is_file())
    start = time.perf_counter()
    run = pretrain(recipe)
    model = trivium.load(run.folder)
    validation = open_prepared(run.folder / "data").validation
    context = recipe.batch.context_tokens
    plain = bits_per_byte(model.network, validation, context_tokens=context)
    half = bits_per_byte(model.network, validation, context_tokens=context, stride_tokens=context // 2)
    rows = run.metrics()
    here = machine.describe()
    result = {
        "cell": name,
        "validation_loss": plain.loss,
        "validation_loss_half_stride": half.loss,
        "characters_scored": plain.tokens,
        "steps": rows[-1]["step"],
        "tokens": rows[-1]["tokens"],
        "training_seconds": rows[-1]["seconds"],
        "seconds_of_this_call": time.perf_counter() - start,
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "curve": [[row["step"], row["validation_loss"]] for row in rows if row["validation_loss"] is not None],
        "machine": {"processor": here.processor, "cores": here.cores},
        "recipe": run.config,
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / f"shakespeare-{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"{name}: {plain.loss:.4f} nats a character ({half.loss:.4f} with windows overlapping by half)")


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
        elif not (results / f"shakespeare-{name}.json").is_file():
            run_cell(name, recipe, results)


if __name__ == "__main__":
    main()
