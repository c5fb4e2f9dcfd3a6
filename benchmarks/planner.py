"""The planner beside what training really takes: eight configurations, each in a process of its own.

    python benchmarks/planner.py [--width 256] [--only NAME]

Planned is what `trivium.recipes.plan_steps` rehearses. Measured are, over three updates of the same step:

* peak tensor bytes: `trivium.planning.measured`, from before the model is built.
* peak RSS: the high-water mark of the process in an update without the profiler, whose own records take memory. Planned
  is the RSS of a process that has made an update of next to nothing, and what the C library's heap grows to for the
  tensors with the holes between them (`trivium.planning.heap`).

Goals: tensors within 10 %, RSS within 15 %, on the six configurations of the issue. Two more were not looked at while
the account of the heap was made. The last line is JSON.
"""

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.llama import Llama, LlamaConfig
from trivium.nn.quantized import quantise_linears
from trivium.objectives.causal import causal
from trivium.planning.measured import peak_tensor_bytes
from trivium.planning.memory import Rehearsed
from trivium.recipes.adapting import adapt
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.method_config import WAYS, MethodName
from trivium.recipes.plan import PlannedMachine
from trivium.recipes.plan_steps import Step, causal_batch, rehearse_finetuning
from trivium.runtime import allocator, memory
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.optimisers import OptimiserConfig, build_optimisers

UPDATES = 3
MIB = 2**20
WHATS = ("planned", "heap", "tensors", "resident", "process")


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What is trained, and how."""

    family: str
    method: MethodName
    step: Step


def configurations() -> dict[str, Configuration]:
    """The six of the issue, and two more."""
    usual = Step(rows=8, context_tokens=256)
    packed = dataclasses.replace(usual, documents=4)
    return {
        "gpt2 full": Configuration("gpt2", "full", usual),
        "llama full": Configuration("llama", "full", usual),
        "llama lora": Configuration("llama", "lora", packed),
        "llama qlora": Configuration("llama", "qlora", usual),
        "checkpointing": Configuration("llama", "full", dataclasses.replace(usual, activation_checkpointing=True)),
        "longer context": Configuration("llama", "full", Step(rows=2, context_tokens=1024)),
        "gpt2 lora": Configuration("gpt2", "lora", Step(rows=4, context_tokens=384)),
        "llama houlsby": Configuration("llama", "houlsby", Step(rows=12, context_tokens=128)),
    }


def network(family: str, width: int) -> nn.Module:
    """A model of eight layers, vocabulary 8,192."""
    shape: dict[str, Any] = {"vocabulary_size": 8192, "width": width, "layers": 8, "heads": width // 32}
    if family == "gpt2":
        return GPT2(GPT2Config(**shape, context_tokens=1024))
    return Llama(LlamaConfig(**shape, inner_width=-(-8 * width // 96) * 32, context_tokens=1024, tied=True))


def planned(chosen: Configuration, width: int) -> Rehearsed:
    """The same, rehearsed."""
    with torch.device("meta"):
        described = network(chosen.family, width)
    return rehearse_finetuning(described, chosen.method, settings(chosen.method), chosen.step)


def training(chosen: Configuration, width: int) -> Callable[[], None]:
    """Builds what is trained; gives one update."""
    model = network(chosen.family, width)
    if WAYS[chosen.method].quantize is not None:
        quantise_linears(model)
    adapt(model, chosen.method, settings(chosen.method))
    if chosen.step.activation_checkpointing:
        checkpoint_blocks(model)
    model.train()
    optimisers = build_optimisers(model, OptimiserConfig())

    def update() -> None:
        causal(model, causal_batch(chosen.step.rows, chosen.step)).total.backward()
        optimisers.step()
        optimisers.zero_gradients()

    return update


def settings(method: MethodName) -> Any:
    """The defaults of `trivium finetune`."""
    return FinetuneConfig(model=pathlib.Path(), data=pathlib.Path(), method=method).method_settings


def measure(name: str, width: int, what: str) -> int:
    """In this process: bytes planned or measured."""
    chosen = configurations()[name]
    if what == "planned":
        return planned(chosen, width).memory.tensors
    if what == "heap":
        return planned(chosen, width).heap

    def work() -> None:
        update = training(chosen, width)
        for _ in range(UPDATES):
            update()

    if what == "tensors":
        return peak_tensor_bytes(work)
    allocator.keep_freed_memory()
    if what == "process":
        return PlannedMachine(device="cpu").process_bytes()
    work()
    return int(memory.peak_mib() * MIB)


def in_process(name: str, width: int, what: str) -> int:
    """The same in a fresh one."""
    words = [sys.executable, __file__, "--width", str(width), "--only", name, "--what", what]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--only", choices=list(configurations()))
    parser.add_argument("--what", choices=WHATS)
    options = parser.parse_args()
    if options.what is not None:
        print(measure(options.only, options.width, options.what))
        return
    results = {}
    process = in_process("gpt2 full", options.width, "process")
    for name in configurations() if options.only is None else (options.only,):
        found = {what: in_process(name, options.width, what) for what in WHATS[:4]}
        foretold = process + found["heap"]
        results[name] = {
            "planned_mib": round(found["planned"] / MIB, 1),
            "tensors_mib": round(found["tensors"] / MIB, 1),
            "planned_to_tensors": round(found["planned"] / found["tensors"], 3),
            "planned_rss_mib": round(foretold / MIB, 1),
            "rss_mib": round(found["resident"] / MIB, 1),
            "planned_to_rss": round(foretold / found["resident"], 3),
        }
        print(f"{name:16s}", *(f"{key} {value}" for key, value in results[name].items()), flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
