"""Trained on short texts, read on long ones: how each way of telling positions carries over, all else being equal.

    python benchmarks/figures/extrapolation.py               # every cell that is not finished, then the page
    python benchmarks/figures/extrapolation.py --cell alibi  # one of them
    python benchmarks/figures/extrapolation.py --steps 20    # a trial, with results and a page of its own
    python benchmarks/figures/extrapolation.py --page        # the page alone

A cell is one network of the architecture "modular": 4 blocks of width 192, trained on 16 windows of 128 tokens an
update. All cells see the same windows in the same order, and weights that they have in common begin alike. Each network
is then read at 128, 256, 512 and 1,024 tokens, on windows of the held-out text that are the same for all. What rope
learnt is read in three ways more: with its angles divided (linear), with NTK's growing base (dynamic), and by YaRN. Of
learned positions those beyond the 128th have had no update; they are read as they began.

The text is that of `pretraining.py`. A cell is finished or not there: stopped, it begins anew. Results:
benchmarks/results/extrapolation-CELL.json and runs/extrapolation.html.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pretraining import data
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.data.prepared import open_prepared
from trivium.data.shards import TokenStore
from trivium.models.modular import Modular
from trivium.models.modular_config import ModularConfig
from trivium.nn.positions.rope import Rope
from trivium.objectives.causal import causal
from trivium.reports import parts
from trivium.reports.page import Page, Section, write
from trivium.runtime import machine

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_RESULTS = _REPOSITORY / "benchmarks" / "results"
_RUNS = _REPOSITORY / "runs"

STEPS, ROWS, TRAINED, LENGTHS, BUCKET = 700, 16, 128, (128, 256, 512, 1024), 64
CELLS = ("learned", "sinusoidal", "rope", "alibi", "t5", "transformer_xl", "none")

Windows = Callable[[int], Tensor]
"""``windows(step)``: rows of token ids [rows, tokens]."""


def config(cell: str, vocabulary_size: int) -> ModularConfig:
    """The same for all but the positions."""
    return ModularConfig(
        vocabulary_size=vocabulary_size,
        width=192,
        layers=4,
        heads=6,
        inner_width=512,
        # A table of vectors must have those that it is read with; dynamic NTK must know what was trained on.
        context_tokens=LENGTHS[-1] if cell == "learned" else TRAINED,
        positions=cell,  # type: ignore[arg-type]
    )


def readings(cell: str, length: int) -> dict[str, Rope | None]:
    """Ways in which a trained network is read at a length: name, and the rope that takes the place of its own."""
    if cell != "rope":
        return {cell: None}
    factor = length / TRAINED
    return {
        "rope": None,
        "rope, linear": Rope(kind="linear", factor=factor),
        "rope, dynamic NTK": Rope(kind="dynamic", factor=1.0),
        "rope, YaRN": Rope(kind="yarn", factor=factor, original_context_tokens=TRAINED),
    }


def windows_of(store: TokenStore, rows: int, tokens: int) -> Windows:
    """Windows at random places of the documents laid end to end, the same at each step in every process."""

    def windows(step: int) -> Tensor:
        places = np.random.default_rng((1, step)).integers(store.num_tokens - tokens + 1, size=rows)
        return torch.from_numpy(store.gather(places[:, None] + np.arange(tokens)))

    return windows


def train(model: nn.Module, windows: Windows, *, steps: int, learning_rate: float = 2e-3) -> float:
    """AdamW with a short warm-up and a linear decay; gives the seconds it took."""
    begin = time.perf_counter()
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm))
    )
    model.train()
    for step in range(steps):
        loss = causal(model, batch_of(windows(step)))
        mean = (loss.total + sum(loss.auxiliary.values())) / loss.count
        optimiser.zero_grad()
        mean.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.total.item() / loss.count.item():.3f}", flush=True)
    model.eval()
    return time.perf_counter() - begin


def batch_of(rows: Tensor) -> CausalBatch:
    """Every token of a row but the first is to be predicted."""
    tokens, targets = rows[:, :-1], rows[:, 1:]
    return CausalBatch(
        tokens, targets, torch.ones_like(targets, dtype=torch.bool), torch.full((len(rows),), tokens.shape[1])
    )


@torch.inference_mode()
def losses(model: nn.Module, rows: Tensor) -> Tensor:
    """Nats of every predicted token ``[rows, tokens - 1]``."""
    found = [-model.head.log_prob(model(some[:, :-1]).hidden, some[:, 1:]) for some in rows.split(4)]
    return torch.cat(found)


def measured(cell: str, steps: int) -> dict[str, Any]:
    """Trains a cell and reads it at every length."""
    prepared = open_prepared(data(), verify=False)
    shape = config(cell, prepared.tokenizer.vocabulary_size)
    torch.manual_seed(0)
    common = Modular(dataclasses.replace(shape, positions="none")).state_dict()  # begins alike in all cells
    model = Modular(shape)
    model.load_state_dict({**model.state_dict(), **common})
    seconds = train(model, windows_of(prepared.train, ROWS, TRAINED + 1), steps=steps)
    longest = windows_of(prepared.validation, 24 if steps == STEPS else 4, LENGTHS[-1] + 1)(0)
    read: dict[str, Any] = {}
    for length in LENGTHS:
        rows = torch.cat([longest[:, start : start + length + 1] for start in range(0, LENGTHS[-1], length)])
        for name, rope in readings(cell, length).items():
            other = model
            if rope is not None:
                other = Modular(dataclasses.replace(shape, rope=rope)).eval()
                other.load_state_dict(model.state_dict())
            nats = losses(other, rows)
            by_place = nats.unflatten(1, (-1, BUCKET)).mean((0, 2))
            read.setdefault(name, {})[str(length)] = {
                "loss": float(nats.mean()),
                "last_bucket": float(by_place[-1]),
                "by_position": [round(float(value), 4) for value in by_place],
            }
    here = machine.describe()
    return {
        "cell": cell,
        "steps": steps,
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "read": read,
        "machine": {"processor": here.processor, "cores": here.cores},
    }


def page(results: list[dict[str, Any]], target: pathlib.Path) -> None:
    """Perplexity by position and by length, of all readings that there are."""
    read = {name: lengths for result in results for name, lengths in result["read"].items()}
    longest = str(LENGTHS[-1])
    places = [BUCKET * (i + 0.5) for i in range(LENGTHS[-1] // BUCKET)]
    curves = [(name, places, [math.exp(v) for v in at[longest]["by_position"]]) for name, at in read.items()]
    lengths = [(name, LENGTHS, [math.exp(at[str(n)]["loss"]) for n in LENGTHS]) for name, at in read.items()]
    rows = [[name, *(round(value, 2) for value in values)] for name, _, values in lengths]
    label = "Perplexity against the position in the text; the networks were trained on 128 tokens."
    body = drawing(curves, "position in a text of 1,024 tokens", label)
    by_length = drawing(lengths, "tokens that are read at once", "Perplexity against the length of the texts.")
    table = parts.table(["positions", *(f"{n:,} tokens" for n in LENGTHS)], rows)
    steps = ", ".join(sorted({f"{result['steps']:,}" for result in results}))
    write(
        Page(
            title="Trained on 128 tokens",
            head=parts.paragraph(
                f"Networks that differ in how they tell positions, trained for {steps} updates on windows of "
                f"{TRAINED} tokens, and read on longer texts."
            ),
            sections=[
                Section(title="By position", body=body),
                Section(title="By length", body=by_length + table),
            ],
            foot="benchmarks/figures/extrapolation.py",
        ),
        target,
    )


def drawing(curves: list[tuple[str, Any, list[float]]], x: str, label: str, y: str = "perplexity") -> str:
    """Curves on a logarithmic axis: four colours, and a dash for each further four."""
    colours, dashes = ("first", "second", "third", "fourth"), ("solid", "dot", "dashdot")
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": list(xs),
            "y": [float(f"{value:.4g}") for value in ys],
            "line": {"color": colours[i % 4], "dash": dashes[i // 4], "width": 2.2},
            "hovertemplate": "%{y:.3g}<extra>" + name + "</extra>",
        }
        for i, (name, xs, ys) in enumerate(curves)
    ]
    axes = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}, "type": "log"}}
    return parts.chart(traces, {"height": 420, **axes}, label=label, caption=label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=CELLS, help="only this one")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"other than {STEPS} is a trial")
    parser.add_argument("--page", action="store_true", help="only draw what was measured")
    asked = parser.parse_args()
    trial = "" if asked.steps == STEPS else f"trial-{asked.steps}-"
    paths = {cell: _RESULTS / f"{trial}extrapolation-{cell}.json" for cell in CELLS}
    for cell, path in paths.items():
        if asked.cell in (None, cell) and not asked.page and not path.is_file():
            print(f"--- {cell}", flush=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(measured(cell, asked.steps), indent=1) + "\n", encoding="utf-8")
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths.values() if path.is_file()]
    if results:
        page(results, _RUNS / f"{trial}extrapolation.html")
        for result in results:
            for name, at in result["read"].items():
                told = "  ".join(f"{n:5d}: {math.exp(at[str(n)]['loss']):8.1f}" for n in LENGTHS)
                print(f"{name:20s} perplexity at {told}")


if __name__ == "__main__":
    main()
