"""Four ways to learn from raw text, at one size and in one time: BERT, ELECTRA, XLNet and T5, 30 minutes each.

    python benchmarks/figures/pretraining.py                 # every cell that is not finished
    python benchmarks/figures/pretraining.py --cell electra  # one of them
    python benchmarks/figures/pretraining.py --minutes 0.2   # a trial, into a folder of its own

The text is 100 novels (LitBank), the inaugural and State of the Union addresses, and the documentation of Python, torch
and numpy on this machine, in one vocabulary. Every network has 4 blocks of width 192 (T5 as many again to write with;
ELECTRA's generator a quarter of the width), reads rows of 128 tokens, 32 an update, and has the same time, with Muon at
0.02 for the matrices; what differs is the objective, and so how many updates fit, and AdamW's rate for the rest: where
positions are vectors of their own it is 0.001, as they are lost at 0.004 (docs/log.md). Their losses are of different
questions and are not to be compared: `tuning.py` asks all of them the same. The data is looked for in TRIVIUM_SHARED,
else in shared/data beside the repository. Results: benchmarks/results/pretraining-CELL.json; the models stay in
runs/pretraining-CELL.
"""

import argparse
import json
import os
import pathlib

import numpy as np

from trivium.data.prepared import open_prepared
from trivium.recipes.language_model import ModelConfig
from trivium.recipes.prepare import prepare
from trivium.recipes.prepare_config import PrepareConfig, WorkConfig
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, pretrain
from trivium.recipes.training import TrainingConfig
from trivium.runtime import machine
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_RESULTS = _REPOSITORY / "benchmarks" / "results"
_RUNS = _REPOSITORY / "runs"
_DATA = _RUNS / "understanding-data"
_TEXTS = (
    *(f"litbank_novels/novels_{number}.zip" for number in (1, 2, 3)),
    "pd_text/inaugural.zip",
    "pd_text/state_union.zip",
)

RATES = {"bert": 1e-3, "electra": 1e-3, "xlnet": 4e-3, "t5": 4e-3}
"""AdamW's, of each cell."""
CELLS = tuple(RATES)
MINUTES = 30.0


def data() -> pathlib.Path:
    """The prepared text, made the first time it is asked for."""
    if not (_DATA / "manifest.json").is_file():
        prepare(
            PrepareConfig(
                sources=(*(str(_SHARED / name) for name in _TEXTS), "embedded"),
                masks=True,
                vocabulary_size=8192,
                validation_fraction=0.02,
                output=_DATA,
                work=WorkConfig(processes=1),
            )
        )
    return _DATA


def unigrams() -> float:
    """Nats a token of the held-out text under the frequencies of the training text, one added to each: what a network
    that has learnt nothing else comes to."""
    prepared = open_prepared(data())
    counts, held_out = (
        np.bincount(store.gather(np.arange(store.num_tokens)), minlength=prepared.tokenizer.vocabulary_size)
        for store in (prepared.train, prepared.validation)
    )
    frequencies = (counts + 1) / (counts + 1).sum()
    return float(-(held_out * np.log(frequencies)).sum() / held_out.sum())


def run_name(cell: str, minutes: float) -> str:
    """The folder of a cell's model in runs/; a trial has one of its own."""
    return f"pretraining-{cell}" if minutes == MINUTES else f"trial-{minutes:g}-pretraining-{cell}"


def recipe(cell: str, minutes: float) -> PretrainConfig:
    """The same for all but the architecture."""
    name = run_name(cell, minutes)
    return PretrainConfig(
        data=data(),
        output=_RUNS,
        run=name,
        resume=(_RUNS / name / "config.yaml").is_file(),
        model=ModelConfig(architecture=cell, width=192, layers=4, heads=6),
        batch=BatchConfig(rows=32, context_tokens=128),
        minutes=minutes,
        optimiser=OptimiserConfig(kind="muon", learning_rate=RATES[cell]),
        training=TrainingConfig(
            evaluation_tokens=20000, evaluate_every_steps=500, log_every_steps=25, checkpoint_every_steps=500
        ),
    )


def finished(cell: str, minutes: float) -> Run | None:
    """The run of a cell that has done all of its updates."""
    folder = _RUNS / run_name(cell, minutes)
    if not (folder / "config.yaml").is_file():
        return None
    run = Run.open(folder)
    rows = run.metrics()
    return run if rows and rows[-1]["step"] == run.config["steps"] else None


def measured(cell: str, minutes: float) -> dict[str, object]:
    """Trains what is left of a network; gives what it cost and where it came out."""
    run = finished(cell, minutes) or pretrain(recipe(cell, minutes))
    last, here = run.metrics()[-1], machine.describe()
    described = json.loads((run.checkpoints / "last" / "trivium.json").read_text(encoding="utf-8"))
    return {
        "cell": cell,
        "objective": described["objective"],
        "minutes": minutes,
        "seconds": last["seconds"],
        "updates": last["step"],
        "tokens_read": last["step"] * 32 * 128,
        "tokens_predicted": last["tokens"],
        "validation_loss": last["validation_loss"],
        "machine": {"processor": here.processor, "cores": here.cores},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=CELLS, help="only this one")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="other than 30 is a trial")
    asked = parser.parse_args()
    print(f"{'frequencies':10s} of single tokens: {unigrams():.3f} nats")
    for cell in (asked.cell,) if asked.cell else CELLS:
        path = _RESULTS / f"{run_name(cell, asked.minutes)}.json"
        if not path.is_file():
            result = measured(cell, asked.minutes)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=2) + "\n")
        result = json.loads(path.read_text())
        print(
            f"{cell:10s} {result['objective']:16s} {result['updates']:6,d} updates  "
            f"{result['tokens_predicted']:11,.0f} tokens predicted  validation loss {result['validation_loss']:.3f}"
        )


if __name__ == "__main__":
    main()
