"""Vanishing and exploding, seen: how far back the gradient of a loss reaches in an Elman network, a GRU and an LSTM.

    python benchmarks/figures/gradient_lag.py                # every cell that is not finished, then the page
    python benchmarks/figures/gradient_lag.py --cell lstm    # one of them
    python benchmarks/figures/gradient_lag.py --steps 20     # a trial, into a folder of its own

Five networks of one layer and one width read the validation split of WikiText-2, of which the last tenth is held out
and measured on: an Elman network as it is initialised (orthogonal recurrent weights), the same with these weights
halved and with half as much again, a GRU and an LSTM. Of each, the norm of the gradient of the loss at a token with
respect to what was carried k tokens before is measured before training and after about a minute of it on one core
(Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013, section 2). A run that was stopped goes on where
it was. The text is looked for in TRIVIUM_SHARED, else in shared/data beside the repository. Results:
benchmarks/results/gradient-lag-CELL.json, and in the folder of the runs gradient-lag.html, which compares those that
are there.
"""

import argparse
import dataclasses
import json
import os
import pathlib
from typing import Any

import torch
from torch import nn

import trivium
from trivium.data.prepared import MANIFEST, Prepared, open_prepared
from trivium.evaluation.gradient_lag import gradient_by_lag, spread_windows
from trivium.models import architecture
from trivium.recipes.language_model import ModelConfig, build_model
from trivium.recipes.prepare import PrepareConfig, prepare
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, pretraining_job
from trivium.recipes.run_report import lag_curves
from trivium.recipes.training import TrainingConfig, begin, train
from trivium.reports import parts
from trivium.reports.page import Page, Section, write
from trivium.reports.recurrent import LagCurve, lag_chart
from trivium.runtime import machine, processes
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_PIECES, _WIDTH = 4096, 256
_STEPS = 450  # about a minute of one core; not minutes, since the speed of a machine drifts
_LAGS, _CONTEXT, _POSITIONS = 100, 32, 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One network."""

    name: str
    """What it is called on the page."""
    architecture: str
    scale: float = 1.0
    """What its recurrent weights are multiplied by before anything is done."""


CELLS = {
    "elman": Cell(name="Elman", architecture="rnn"),
    "elman-halved": Cell(name="Elman, weights x 0.5", architecture="rnn", scale=0.5),
    "elman-enlarged": Cell(name="Elman, weights x 1.5", architecture="rnn", scale=1.5),
    "gru": Cell(name="GRU", architecture="gru"),
    "lstm": Cell(name="LSTM", architecture="lstm"),
}
"""What is run."""


def prepared_text(folder: pathlib.Path) -> Prepared:
    """The text, prepared once for all cells."""
    if not (folder / MANIFEST).is_file():
        source = str(_SHARED / "wikitext2" / "valid.txt")
        prepare(PrepareConfig(sources=(source,), output=folder, vocabulary_size=_PIECES, validation_fraction=0.1))
    return open_prepared(folder)


def recipe_of(key: str, output: pathlib.Path, steps: int) -> PretrainConfig:
    """How the cell is trained: all alike."""
    run = f"gradient-lag-{key}"
    return PretrainConfig(
        data=output / "gradient-lag-data",
        output=output,
        run=run,
        resume=(output / run / "config.yaml").is_file(),
        model=ModelConfig(architecture=CELLS[key].architecture, width=_WIDTH, layers=1),
        batch=BatchConfig(rows=16, context_tokens=64),
        optimiser=OptimiserConfig(learning_rate=2e-3),
        schedule=ScheduleConfig(kind="cosine"),
        training=TrainingConfig(evaluate_every_steps=100, checkpoint_every_steps=100),
        steps=steps,
        device="cpu",
    )


def run_cell(key: str, output: pathlib.Path, results: pathlib.Path, steps: int) -> None:
    """Measures, trains what is left, measures again, and writes the cell's result."""
    cell, recipe = CELLS[key], recipe_of(key, output, steps)
    prepared = prepared_text(recipe.data)
    windows = spread_windows(prepared.validation, _POSITIONS, _CONTEXT + _LAGS + 2)
    with processes.process_group(torch.device("cpu")) as here:
        begin(recipe, here)
        model = build_model(recipe.model, prepared.tokenizer.vocabulary_size, recipe.batch.context_tokens)
        for name, parameter in model.named_parameters():
            if "weight_hh" in name:
                parameter.data *= cell.scale
        before = measured(model, windows)
        run = train(recipe, pretraining_job(recipe, prepared, model), title=cell.name)
    rows = run.metrics()
    network = trivium.load(run.folder, device="cpu").network
    result = {
        "cell": key,
        "positions": len(windows),
        "before": before,
        "after": measured(network, windows),
        "validation_loss": min(row["validation_loss"] for row in rows if row["validation_loss"] is not None),
        "steps": rows[-1]["step"],
        "tokens": rows[-1]["tokens"],
        "training_seconds": rows[-1]["seconds"],
        "skipped": rows[-1]["skipped"],
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "machine": {"processor": machine.describe().processor, "cores": machine.describe().cores},
        "recipe": run.config | {"recurrent_weights_times": cell.scale},
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / f"gradient-lag-{key}.json").write_text(json.dumps(result, indent=2) + "\n")
    told = ", ".join(f"{when} training {result[when]['factor']:.3f}" for when in ("before", "after"))
    print(f"{cell.name}: each token back multiplies the gradient by {told}")


def measured(model: nn.Module, windows: torch.Tensor) -> dict[str, Any]:
    """The curve of the one layer."""
    (curve,) = lag_curves(gradient_by_lag(model, windows, lags=_LAGS))
    return {"factor": curve.factor, "low_mean_high": curve.norms}


def write_page(results: pathlib.Path, output: pathlib.Path) -> None:
    """What is there of all cells, in one page."""
    found = {}
    for key in CELLS:
        path = results / f"gradient-lag-{key}.json"
        if path.is_file():
            found[key] = json.loads(path.read_text())
    rows = [
        (
            CELLS[key].name,
            result["parameters"],
            f"{result['before']['factor']:.3f}",
            f"{result['after']['factor']:.3f}",
            f"{result['validation_loss']:.3f}",
            f"{result['training_seconds']:.0f} s",
        )
        for key, result in found.items()
    ]
    headings = ("", "parameters", "a token, before", "a token, after", "nats a token of unseen text", "trained for")
    head = parts.paragraph(
        "What was read k tokens ago can only be learned from if the gradient still says something after k steps "
        f"back. One layer of {_WIDTH} units each; the same text, the same updates.",
        "lead",
    )
    sections = [_drawn(found, "before", "Before training"), _drawn(found, "after", "After about a minute of training")]
    note = "What each token further back multiplies the median gradient by, on average, and what was learnt."
    sections.append(Section(title="In numbers", body=parts.paragraph(note) + parts.table(headings, rows)))
    papers = ", ".join(architecture(name).paper for name in ("rnn", "lstm", "gru"))
    foot = parts.paragraph(f"{papers}; Pascanu, Mikolov and Bengio 2013, section 2.")
    page = Page(title="Vanishing and exploding gradients", head=head, sections=sections, foot=foot)
    write(page, output / "gradient-lag.html")


def _drawn(found: dict[str, Any], when: str, title: str) -> Section:
    curves = [
        LagCurve(name=CELLS[key].name, norms=result[when]["low_mean_high"], factor=result[when]["factor"])
        for key, result in found.items()
    ]
    return Section(title=title, body=lag_chart(curves))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=sorted(CELLS), help="only this one")
    parser.add_argument("--steps", type=int, help="a trial of so many steps, kept apart from the results")
    parser.add_argument("--output", type=pathlib.Path, default=_REPOSITORY / "runs", help="folder of the runs")
    asked = parser.parse_args()
    output, results = asked.output, _HERE.parent / "results"
    if asked.steps is not None:
        output = output / f"gradient-lag-trial-{asked.steps}"
        results = output / "results"
    for key in [asked.cell] if asked.cell else CELLS:
        if not (results / f"gradient-lag-{key}.json").is_file():
            run_cell(key, output, results, asked.steps or _STEPS)
    write_page(results, output)


if __name__ == "__main__":
    main()
