"""What context costs: an LSTM beside a Transformer of as many parameters, from 128 to 4,096 tokens.

    python benchmarks/context.py              # about ten minutes on two cores
    python benchmarks/context.py --smoke      # a minute: small models, two contexts

Training: tokens a second and peak memory of an update on 4,096 tokens, in rows as long as the context: the number of
tokens is the same, their arrangement is not. An LSTM walks along its row and is faster the more rows there are side by
side; attention takes all of a row at once, and compares every token with every one before. Generation: seconds for one
more token of a text of that length, and bytes of what is remembered of it. Every figure comes from a process of its
own; the peak is the most that it holds in an update, and what it held before there was a model is given beside it.

The models are an LSTM of 2 x 512 and a GPT-2 of 4 x 288, both with a tied embedding of 8,192 pieces and 288 numbers,
with random weights, under AdamW. GPT-2's table of positions, of which a step reads some rows, is not counted.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from trivium.data.batches import CausalBatch
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.objectives.causal import causal
from trivium.runtime import memory
from trivium.runtime.allocator import keep_freed_memory
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.schedules import ScheduleConfig

STEP_TOKENS = 4096
NAMES = ("lstm", "gpt2")
MIB = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured."""

    vocabulary: int
    lstm_width: int
    embedding_width: int
    width: int
    layers: int
    contexts: tuple[int, ...]
    updates: int
    """Updates that are timed, after one that is not."""
    written: int
    """Tokens that are written at each length."""


FULL = Plan(
    vocabulary=8192,
    lstm_width=512,
    embedding_width=288,
    width=288,
    layers=4,
    contexts=(128, 256, 512, 1024, 2048, 4096),
    updates=5,
    written=64,
)
SMOKE = Plan(
    vocabulary=512,
    lstm_width=96,
    embedding_width=64,
    width=64,
    layers=3,
    contexts=(128, 1024),
    updates=2,
    written=16,
)


def build(name: str, plan: Plan) -> nn.Module:
    """The network, as large as the other within some hundredths."""
    torch.manual_seed(0)
    if name == "lstm":
        shape = {"width": plan.lstm_width, "embedding_width": plan.embedding_width, "layers": 2}
        return LSTM(LSTMConfig(vocabulary_size=plan.vocabulary, tied=True, dropout=0.0, **shape))
    longest = max(plan.contexts) + plan.written
    return GPT2(
        GPT2Config(
            vocabulary_size=plan.vocabulary,
            width=plan.width,
            layers=plan.layers,
            heads=plan.width // 32,
            inner_width=4 * plan.width,
            context_tokens=longest,
            dropout=0.0,
        )
    )


def training(model: nn.Module, plan: Plan, context: int) -> dict[str, float]:
    """Tokens a second of an update, the median, and the most memory that the process held during it."""
    rows = STEP_TOKENS // context
    ids = torch.randint(plan.vocabulary, (rows, context + 1))
    batch = CausalBatch(
        tokens=ids[:, :-1].contiguous(),
        targets=ids[:, 1:].contiguous(),
        mask=torch.ones(rows, context, dtype=torch.bool),
        lengths=torch.full((rows,), context),
    )
    settings = SupervisedConfig(schedule=ScheduleConfig(kind="constant", warmup_steps=0))
    learner = SupervisedLearner(model, causal, settings, steps=plan.updates + 1)
    learner.step(batch)
    memory.forget_peak()
    seconds = []
    for _ in range(plan.updates):
        begin = time.perf_counter()
        learner.step(batch)
        seconds.append(time.perf_counter() - begin)
    return {"tokens_per_second": STEP_TOKENS / statistics.median(seconds), "peak_mib": memory.peak_mib()}


@torch.inference_mode()
def generation(model: Any, plan: Plan, context: int) -> dict[str, float]:
    """Milliseconds of one more token after ``context`` of them, the median, and the bytes of what is remembered."""
    model.eval()
    text = torch.randint(plan.vocabulary, (1, context))
    state = model(text, state=model.new_state(1, context + plan.written)).state
    token, seconds = text[:, -1:], []
    for _ in range(plan.written):
        begin = time.perf_counter()
        output = model(token, state=state)
        state, token = output.state, model.head(output.hidden).argmax(-1)
        seconds.append(time.perf_counter() - begin)
    leaves = [leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor)]
    remembered = sum(leaf.nbytes for leaf in leaves)
    return {
        "milliseconds_per_token": 1000 * statistics.median(seconds),
        "state_bytes": remembered,
        "state_bytes_per_token": remembered / (context + plan.written),
    }


def measured(name: str, context: int, plan: Plan) -> dict[str, float]:
    """Both, of one model at one context, in this process."""
    keep_freed_memory()
    memory.forget_peak()
    idle = memory.peak_mib()
    model = build(name, plan)
    counted = {key: each.numel() for key, each in model.named_parameters() if not key.startswith("positions")}
    trained = training(model, plan, context)  # first: memory that generation has used would stay with the process
    return {"parameters": sum(counted.values()), "idle_mib": idle, **trained, **generation(model, plan, context)}


def in_a_process(name: str, context: int, smoke: bool) -> dict[str, float]:
    """`measured` in a process that holds nothing else."""
    words = [sys.executable, __file__, "--one", name, str(context), *(["--smoke"] if smoke else [])]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def table(results: list[dict[str, Any]]) -> None:
    """A row a context, the two models side by side."""
    columns = (
        ("tokens_per_second", "tokens/s", 1.0),
        ("peak_mib", "peak MiB", 1.0),
        ("milliseconds_per_token", "ms/token", 1.0),
        ("state_bytes", "state KiB", 1 / 1024),
    )
    print(f"{'':8s}" + "".join(f"{title:>22s}" for _, title, _ in columns))
    print(f"{'context':8s}" + f"{NAMES[0]:>11s}{NAMES[1]:>11s}" * len(columns))
    for context in sorted({row["context"] for row in results}):
        found = {row["model"]: row for row in results if row["context"] == context}
        print(f"{context:8d}", end="")
        for key, _, factor in columns:
            digits = 1 if key == "milliseconds_per_token" else 0
            print("".join(f"{found[name][key] * factor:11,.{digits}f}" for name in NAMES), end="")
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small models, two contexts")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    parser.add_argument(
        "--one", nargs=2, metavar=("MODEL", "CONTEXT"), help="one measurement, as JSON, in this process"
    )
    asked = parser.parse_args()
    plan = SMOKE if asked.smoke else FULL
    if asked.one:
        print(json.dumps(measured(asked.one[0], int(asked.one[1]), plan)))
        return
    results = [
        {"model": name, "context": context, **in_a_process(name, context, asked.smoke)}
        for context in plan.contexts
        for name in NAMES
    ]
    sizes = {row["model"]: row["parameters"] for row in results}
    idle = statistics.median(row["idle_mib"] for row in results)
    print(f"{STEP_TOKENS} tokens an update, {torch.get_num_threads()} threads; parameters: {sizes}")
    print(f"a process without a model holds {idle:.0f} MiB\n")
    table(results)
    if asked.output is not None:
        asked.output.write_text(json.dumps({"plan": dataclasses.asdict(plan), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
