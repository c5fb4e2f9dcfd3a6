"""A model of Python on one's own machine: how well it writes a line that was taken out, and what it makes of a byte.

    python benchmarks/figures/code_model.py                 # 60 minutes of training, then some of measuring
    python benchmarks/figures/code_model.py --minutes 1     # a trial, into a folder of its own

The text is the standard library's sources and those of torch and numpy, whole modules of which are held out; a LLaMA is
trained by `trivium.pretrain` on half of its windows with their middle at the end. Stopped, it goes on where it was.
Measured on what was held out: bits a byte beside xz that has read the training text, the share of next tokens that it
finds, and lines that were hidden, with what stands behind them and without. What is on the machine differs, and so do
the figures. Results: benchmarks/results/code-model.json.
"""

import argparse
import dataclasses
import json
import pathlib
import time
from typing import Any

import torch

import trivium
from trivium.data.evaluation import evaluation_batches
from trivium.data.prepared import Prepared, open_prepared
from trivium.evaluation.baselines import xz_bits_per_byte
from trivium.evaluation.bits_per_byte import bits_per_byte
from trivium.evaluation.hidden_lines import hide_lines, restore_lines
from trivium.recipes.language_model import ModelConfig
from trivium.recipes.objectives import ObjectiveConfig
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, VocabularyConfig, pretrain
from trivium.recipes.training import TrainingConfig
from trivium.runtime import machine
from trivium.training.run import Run

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_RUNS = _REPOSITORY / "runs"
_RESULTS = _REPOSITORY / "benchmarks" / "results"

MINUTES = 60.0
CONTEXT = 256
LINES = 200
CHARACTERS = 300
"""Of text on either side of a hidden line: with both the prompt is about as long as a row of training."""
_PREDICTED_TOKENS = 50_000
_XZ_BYTES = 30_000_000
"""Of training text for xz: it looks back no further than its dictionary of 64 MiB, and takes a while."""


def recipe(minutes: float, data: str, folder: pathlib.Path) -> PretrainConfig:
    """What is trained; a trial has a folder of its own."""
    name = "code-model" if minutes == MINUTES else f"trial-{minutes:g}-code-model"
    return PretrainConfig(
        data=pathlib.Path(data),
        output=folder,
        run=name,
        resume=(folder / name / "config.yaml").is_file(),
        vocabulary=VocabularyConfig(size=4096, validation_fraction=0.05),
        model=ModelConfig(architecture="llama", width=192, layers=4, heads=6),
        objective=ObjectiveConfig(kind="fill_in_the_middle"),
        batch=BatchConfig(rows=16, context_tokens=CONTEXT),
        minutes=minutes,
        training=TrainingConfig(
            evaluation_tokens=20_000, evaluate_every_steps=200, log_every_steps=20, checkpoint_every_steps=100
        ),
    )


def trained(config: PretrainConfig) -> Run:
    """The run of ``config``, begun, gone on with, or finished before."""
    folder = config.output / config.run
    if config.resume:
        run = Run.open(folder)
        rows = run.metrics()
        if rows and rows[-1]["step"] == run.config["steps"]:
            return run
    return pretrain(config)


@torch.inference_mode()
def next_token_accuracy(model: Any, prepared: Prepared, most: int) -> float:
    """Share of the held-out tokens that the model takes for the most probable, in windows side by side."""
    hits = seen = 0
    for batch in evaluation_batches(prepared.validation, context_tokens=CONTEXT, rows=16):
        hidden = model.network(batch.tokens, lengths=batch.lengths, segments=batch.segments).hidden
        best = model.network.head.logits(hidden[batch.mask]).argmax(-1)
        hits += int((best == batch.targets[batch.mask]).sum())
        seen += int(batch.mask.sum())
        if seen >= most:
            break
    return hits / seen


def measured(run: Run, lines: int) -> dict[str, Any]:
    """The figures of the best checkpoint, on text that was held out."""
    model = trivium.load(run.checkpoints / "best")
    prepared = open_prepared(run.folder / "data")
    held_out = list(prepared.texts("validation"))
    begin = time.perf_counter()
    hidden = hide_lines(held_out, lines, characters=CHARACTERS)
    both, before = (restore_lines(model, hidden, with_suffix=given) for given in (True, False))
    spent = time.perf_counter() - begin
    bits = bits_per_byte(model.network, prepared.validation, context_tokens=CONTEXT, stride_tokens=CONTEXT // 2)
    read, size = [], 0
    for text in prepared.texts("train"):
        read.append(text)
        size += len(text)
        if size > _XZ_BYTES:
            break
    return {
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "training_tokens": prepared.train.num_tokens,
        "held_out_tokens": prepared.validation.num_tokens,
        "steps": run.metrics()[-1]["step"],
        "bits_per_byte": bits.bits_per_byte,
        "xz_bits_per_byte": xz_bits_per_byte(read, held_out),
        "next_token_accuracy": next_token_accuracy(model, prepared, _PREDICTED_TOKENS),
        "hidden_lines": dataclasses.asdict(both),
        "hidden_lines_without_suffix": dataclasses.asdict(before),
        "seconds_a_line": spent / (2 * lines),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time to train for")
    parser.add_argument("--data", default="code", help="code, or a part of it, such as code:python")
    parser.add_argument("--lines", type=int, default=LINES, help="lines to hide")
    parser.add_argument("--runs", type=pathlib.Path, default=_RUNS, help="folder of runs")
    asked = parser.parse_args()
    run, here = trained(recipe(asked.minutes, asked.data, asked.runs)), machine.describe()
    figures = {
        "minutes": asked.minutes,
        "machine": {"processor": here.processor, "cores": here.cores},
        **measured(run, asked.lines),
    }
    print(json.dumps(figures, indent=2))
    if asked.minutes == MINUTES:
        _RESULTS.mkdir(exist_ok=True)
        (_RESULTS / "code-model.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
