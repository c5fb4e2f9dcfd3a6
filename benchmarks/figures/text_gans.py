"""Text GANs beside maximum likelihood with a temperature, and beside rewards that say nothing.

    python benchmarks/figures/text_gans.py                            # every cell that is not finished, then the tables
    python benchmarks/figures/text_gans.py --cell grammar-seqgan-0    # one of them
    python benchmarks/figures/text_gans.py --cell coco-relgan-0 --minutes 60
    python benchmarks/figures/text_gans.py --smoke                    # seconds a cell, kept apart

grammar-METHOD-SEED     expressions of 13 words with brackets that have to match, 3,000 of them; four passes of maximum
                        likelihood, then the game. How many written texts are right, how many are different, and the
                        likelihood of others that were not learnt from.
oracle200-METHOD-SEED   1,000 texts of 8 tokens of an LSTM with weights of chance, over 200 tokens: the published test
                        with 10,000 texts of 20 tokens over 5,000, made small with as little data for each token.
                        NLL_oracle and NLL_test over temperatures, before and after the game.
oracle500-METHOD-0      2,000 texts of 10 tokens over 500; one seed.
paper-METHOD-SEED, coco-METHOD-SEED
                        the published sizes: only where asked for. `--minutes` ends the game; what was stopped goes on.

Every generator is an LSTM of width 32 (LeakGAN has its own) that has learnt by likelihood before the game; "likelihood"
is that one alone, "likelihood-dropout" with dropout of 0.6. "constant" and "random" are SeqGAN with rewards that say
nothing: what moves there is not the discriminator's doing. A game is measured at its last step, not at its best.

Results: benchmarks/results/text-gans-CELL.json, and text-gans.html.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
from typing import Any

import torch
from text_gan_parts import tables
from text_gan_parts.languages import Language, captions, grammar, synthetic
from text_gan_parts.methods import LARGE, LARGE_METHODS, METHODS, PLAYS, SMALL
from text_gan_parts.phases import Cell, Sizes

from trivium.runtime import machine

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_RESULTS, _RUNS = _REPOSITORY / "benchmarks" / "results", _REPOSITORY / "runs"
_DROPOUT = 0.6
_SEEDS = {"grammar": (0, 1, 2), "oracle200": (0, 1, 2), "oracle500": (0,)}
_ALONE = ("likelihood", "likelihood-dropout")
_LANGUAGES = (*_SEEDS, "paper", "coco")
EVERY = (*_ALONE, *METHODS)
_NOT_COMPARED = ("grammar", "likelihood-dropout")


def cells(smoke: bool) -> list[str]:
    """In the order in which they are run; one seed for a trial."""
    seeds = [(seed, kind) for kind, own in _SEEDS.items() for seed in (own[:1] if smoke else own)]
    every = [(seed, kind, method) for seed, kind in sorted(seeds) for method in EVERY]
    return [f"{kind}-{method}-{seed}" for seed, kind, method in every if (kind, method) != _NOT_COMPARED]


def language(kind: str, seed: int, smoke: bool) -> Language:
    """What is learnt."""
    if kind == "grammar":
        return grammar(300 if smoke else 3000, seed=seed, held_out=200 if smoke else 1000)
    if kind == "oracle200":
        return synthetic(200, 8, 200 if smoke else 1000, seed=seed, held_out=200 if smoke else 2000)
    if kind == "oracle500":
        return synthetic(500, 10, 200 if smoke else 2000, seed=seed, held_out=200 if smoke else 2000)
    if kind == "paper":
        return synthetic(5000, 20, 200 if smoke else 10_000, seed=seed, held_out=200 if smoke else 2000)
    return captions(200 if smoke else None)


def sizes(kind: str, smoke: bool, minutes: float | None) -> Sizes:
    """How much of it."""
    small = kind in _SEEDS
    if smoke:
        return Sizes(epochs=2, judge=SMALL, samples=100, look_every=2, share=0.005, minutes=minutes)
    epochs = {"grammar": 4, "oracle200": 60, "oracle500": 40, "paper": 12, "coco": 20}[kind]
    plays = {**(METHODS if small else LARGE_METHODS), **PLAYS.get(kind, {})}
    return Sizes(epochs=epochs, judge=SMALL if small else LARGE, plays=plays, minutes=minutes)


def measure(name: str, smoke: bool, minutes: float | None) -> dict[str, Any]:
    """One cell."""
    began = time.perf_counter()
    kind, _, rest = name.partition("-")
    method, _, seed = rest.rpartition("-")
    spoken = language(kind, int(seed), smoke)
    cell = Cell(
        method=method,
        language=spoken,
        sizes=sizes(kind, smoke, minutes),
        seed=int(seed),
        folder=_RUNS / _folder(smoke) / name,
        starts=_RUNS / _folder(smoke) / f"{kind}-starts",
    )
    if method in _ALONE:
        model = cell.likely(dropout=_DROPOUT if method == "likelihood-dropout" else 0.0)
        found: dict[str, Any] = {"after": cell.measured(model, spoken.finer())}
    else:
        found = cell.played()
    here = machine.describe()
    return {
        "language": kind,
        "method": method,
        "seed": int(seed),
        "real": spoken.real(),
        **found,
        "seconds_of_this_call": time.perf_counter() - began,
        "machine": {"processor": here.processor, "cores": here.cores, "threads": torch.get_num_threads()},
    }


def _folder(smoke: bool) -> str:
    return "text-gans-smoke" if smoke else "text-gans"


def _result(smoke: bool, cell: str) -> pathlib.Path:
    return _RESULTS / f"{_folder(smoke)}-{cell}.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", metavar="LANGUAGE-METHOD-SEED", help="only this one")
    parser.add_argument("--minutes", type=float, help="minutes of the game after which it ends")
    parser.add_argument("--smoke", action="store_true", help="few texts and two steps each, kept apart")
    asked = parser.parse_args()
    _RESULTS.mkdir(parents=True, exist_ok=True)
    if asked.cell is not None:
        kind, _, rest = asked.cell.partition("-")
        if kind not in _LANGUAGES or rest.rpartition("-")[0] not in EVERY or not rest.rpartition("-")[2].isdigit():
            parser.error(f"a cell is one of {', '.join(_LANGUAGES)}; one of {', '.join(EVERY)}; a seed")
        told = json.dumps(measure(asked.cell, asked.smoke, asked.minutes), indent=1)
        _result(asked.smoke, asked.cell).write_text(told, encoding="utf-8")
        return 0
    for cell in cells(asked.smoke):
        if not _result(asked.smoke, cell).is_file():
            words = [sys.executable, __file__, "--cell", cell, *(["--smoke"] if asked.smoke else [])]
            code = subprocess.run(words, check=False).returncode
            if code:
                return code
    tables.write(_RESULTS, _folder(asked.smoke))
    return 0


if __name__ == "__main__":
    sys.exit(main())
