"""Writing a text backwards: one fixed context against attention, the longer the text the worse for the one.

    python benchmarks/reverse.py             # under 20 minutes on two cores
    python benchmarks/reverse.py --smoke     # some minutes: short texts, few updates, no goal

40,000 pairs over 50 words, of 1 to 25 words each; development and test texts go up to 30, longer than any that was
trained on (the task of Joey NMT: Kreutzer et al. 2019). The networks are its tutorial's: an LSTM of 64 in each
direction, embeddings of 16, and Luong's attention with input feeding; beside it the deep encoder-decoder of Sutskever
et al. 2014 and that of Cho et al. 2014, whose decoders see one vector of the source. A batch holds texts of one length,
so nothing is padded. BLEU is sacreBLEU's on the words as they are; answers are greedy. `--output` takes the figures as
JSON and, beside it, a page with BLEU drawn by length.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trivium.data.batches import Seq2SeqBatch
from trivium.evaluation.metrics.bleu import bleu
from trivium.generation.decode import decode
from trivium.generation.request import requests
from trivium.generation.settings import GenerationSettings
from trivium.models.cho import Cho, ChoConfig
from trivium.models.luong import Luong, LuongConfig
from trivium.models.sutskever import Sutskever, SutskeverConfig
from trivium.objectives.seq2seq import seq2seq
from trivium.reports import page, parts
from trivium.runtime.allocator import keep_freed_memory
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig

GOAL = 95.0
START, END, WORDS = 0, 1, 50
V = WORDS + 2
FEEDING = "Luong 2015, general, input feeding"
BUCKET = 5
SHAPE: dict[str, Any] = {"vocabulary_size": V, "embedding_width": 16, "width": 128, "start_id": START}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is trained, and on what."""

    pairs: int
    longest: int
    """Words of the longest text in training."""
    longest_tested: int
    tested: int
    """Texts in development and test set each."""
    epochs: int


FULL = Plan(pairs=40_000, longest=25, longest_tested=30, tested=1_000, epochs=8)
SMOKE = Plan(pairs=12_000, longest=8, longest_tested=10, tested=200, epochs=3)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A network and the rate at which it learns."""

    name: str
    model: nn.Module
    learning_rate: float


def contenders(rate: float) -> list[Contender]:
    """Three that know the source as one vector or two, and two that look at it."""
    networks = {
        "Sutskever 2014": Sutskever(SutskeverConfig(**SHAPE, layers=2)),
        "Cho 2014": Cho(ChoConfig(**SHAPE, readout_width=64)),
        "Luong 2015, general": Luong(LuongConfig(**SHAPE, layers=1, direction="both", input_feeding=False)),
        FEEDING: Luong(LuongConfig(**SHAPE, layers=1, direction="both")),
    }
    return [Contender(name=name, model=model, learning_rate=rate) for name, model in networks.items()]


def texts(count: int, longest: int, seed: int) -> list[list[int]]:
    """Random words, of 1 to ``longest`` with equal chance."""
    draw = random.Random(seed)
    return [[draw.randrange(2, V) for _ in range(draw.randint(1, longest))] for _ in range(count)]


def batches(sources: list[list[int]], rows: int, epochs: int) -> Iterator[Seq2SeqBatch]:
    """Texts of one length together, all of them once an epoch, in a new order each time."""
    draw = random.Random(3)
    for _ in range(epochs):
        made = []
        for length in sorted({len(source) for source in sources}):
            same = [source for source in sources if len(source) == length]
            draw.shuffle(same)
            made += [same[first : first + rows] for first in range(0, len(same), rows)]
        draw.shuffle(made)
        yield from map(batch_of, made)


def batch_of(sources: list[list[int]]) -> Seq2SeqBatch:
    """Equally long sources, each to be written from its end."""
    source = torch.tensor(sources)
    ends = torch.full((len(sources), 1), END)
    targets = torch.cat([source.flip(1), ends], dim=1)
    tokens = torch.cat([torch.full_like(ends, START), targets[:, :-1]], dim=1)
    lengths = torch.full((len(sources),), source.shape[1])
    return Seq2SeqBatch(source, lengths, tokens, targets, torch.ones_like(targets, dtype=torch.bool), lengths + 1)


def answers(model: nn.Module, sources: list[list[int]]) -> list[list[int]]:
    """What is written to each source, without the end token."""
    longest = max(map(len, sources))
    asked = requests(sources, GenerationSettings(max_new_tokens=longest + 5, eos_ids=(END,)))
    for _ in decode(model, asked, start_id=START, slots=200):
        pass
    return [[word for word in request.token_ids if word != END] for request in asked]


def judged(model: nn.Module, sources: list[list[int]]) -> dict[str, Any]:
    """BLEU of all texts; by length BLEU, the share of words in their place and of texts without a mistake."""
    written = answers(model.eval(), sources)
    wanted = [source[::-1] for source in sources]
    by_length = []
    for first in range(1, max(map(len, sources)) + 1, BUCKET):
        chosen = [i for i, source in enumerate(sources) if first <= len(source) < first + BUCKET]
        if not chosen:
            continue
        right = sum(a == b for i in chosen for a, b in zip(written[i], wanted[i], strict=False))
        by_length.append(
            {
                "from": first,
                "to": first + BUCKET - 1,
                "texts": len(chosen),
                "bleu": score([written[i] for i in chosen], [wanted[i] for i in chosen]),
                "words": right / sum(len(wanted[i]) for i in chosen),
                "whole": sum(written[i] == wanted[i] for i in chosen) / len(chosen),
            }
        )
    return {"bleu": score(written, wanted), "by_length": by_length}


def score(written: list[list[int]], wanted: list[list[int]]) -> float:
    """sacreBLEU's, of words as they are."""
    lines = ([" ".join(f"w{word}" for word in text) for text in side] for side in (written, wanted))
    return bleu(*lines, tokenizer="none")["bleu"]


def train(contender: Contender, sources: list[list[int]], rows: int, plan: Plan) -> dict[str, float]:
    """All epochs; the seconds and the loss of the last hundred updates."""
    steps = sum(1 for _ in batches(sources, rows, 1)) * plan.epochs
    config = SupervisedConfig(
        optimiser=OptimiserConfig(learning_rate=contender.learning_rate, beta2=0.99, weight_decay=0.01),
        schedule=ScheduleConfig(kind="cosine", warmup_steps=min(200, steps // 10), floor=0.02),
    )
    learner = SupervisedLearner(contender.model, seq2seq, config, steps=steps)
    losses, begin = [], time.perf_counter()
    for batch in batches(sources, rows, plan.epochs):
        losses.append(learner.step(batch)["loss"])
        if len(losses) % max(1, steps // plan.epochs) == 0:
            recent = losses[-100:]
            print(f"    {len(losses):6d} updates, {time.perf_counter() - begin:5.0f} s, loss "
                  f"{sum(recent) / len(recent):.3f}", flush=True)  # fmt: skip
    recent = losses[-100:]
    return {"updates": steps, "seconds": time.perf_counter() - begin, "loss": sum(recent) / len(recent)}


def table(results: dict[str, dict]) -> None:
    """A row a network: BLEU, and by length the texts without a mistake."""
    ranges = [f"{row['from']}-{row['to']}" for row in next(iter(results.values()))["test"]["by_length"]]
    print(f"\n{'':36s} {'BLEU':>6s}  whole texts right, %, by number of words")
    print(f"{'':36s} {'':6s}  " + " ".join(f"{each:>6s}" for each in ranges))
    for name, result in results.items():
        whole = " ".join(f"{100 * row['whole']:6.1f}" for row in result["test"]["by_length"])
        print(f"{name:36s} {result['test']['bleu']:6.1f}  {whole}")


def draw(results: dict[str, dict], path: Path) -> None:
    """A page with BLEU by the number of words."""
    colours = ("muted", "fourth", "second", "first")
    curves = []
    for (name, result), colour in zip(results.items(), colours, strict=False):
        rows = result["test"]["by_length"]
        places = [(row["from"] + row["to"]) / 2 for row in rows]
        curves.append((name, colour, places, [row["bleu"] for row in rows]))
    picture = parts.lines(
        curves,
        x="words",
        y="BLEU",
        label="BLEU of each network by the number of words to be reversed",
        caption="Test texts, in groups of five lengths; no text in training has more than 25 words.",
    )
    sections = [page.Section(title="BLEU by length", body=picture)]
    head = parts.paragraph("Random words to be written from the last to the first.")
    page.write(
        page.Page(title="The reverse task", head=head, sections=sections, foot="python benchmarks/reverse.py"), path
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="short texts, few updates")
    parser.add_argument("--epochs", type=int, help="passes over the pairs")
    parser.add_argument("--rows", type=int, default=64, help="texts in a batch")
    parser.add_argument("--rate", type=float, default=4e-3, help="peak learning rate of AdamW")
    parser.add_argument("--only", default="", help="contenders whose name holds this")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    options = parser.parse_args()
    keep_freed_memory()
    plan = SMOKE if options.smoke else FULL
    plan = replace(plan, epochs=options.epochs or plan.epochs)
    torch.manual_seed(0)
    sources = texts(plan.pairs, plan.longest, seed=0)
    sets = {name: texts(plan.tested, plan.longest_tested, seed) for seed, name in ((1, "development"), (2, "test"))}
    results: dict[str, dict] = {}
    for contender in contenders(options.rate):
        if options.only not in contender.name:
            continue
        parameters = sum(p.numel() for p in contender.model.parameters())
        print(f"{contender.name}: {parameters:,} parameters, {torch.get_num_threads()} threads", flush=True)
        results[contender.name] = {"parameters": parameters, **train(contender, sources, options.rows, plan)}
        results[contender.name] |= {name: judged(contender.model, each) for name, each in sets.items()}
        print(f"    BLEU {results[contender.name]['test']['bleu']:.1f}", flush=True)
    table(results)
    if FEEDING in results and not options.smoke:
        reached = results[FEEDING]["test"]["bleu"]
        print(f"{'met' if reached >= GOAL else 'MISSED'}: attention {reached:.1f} BLEU, the goal is {GOAL:.0f}")
    if options.output:
        facts = {"rows": options.rows, "rate": options.rate, "epochs": plan.epochs, "threads": torch.get_num_threads()}
        options.output.write_text(json.dumps({**facts, "networks": results}, indent=1), encoding="utf-8")
        draw(results, options.output.with_suffix(".html"))


if __name__ == "__main__":
    main()
