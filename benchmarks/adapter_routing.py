"""What it costs that each row of a batch has an adapter of its own: 16 texts written together by one base.

    python benchmarks/adapter_routing.py            # some minutes on two cores
    python benchmarks/adapter_routing.py --smoke    # a small model

A LLaMA of 110 million parameters reads 128 tokens of each of 16 texts and writes 32 more, with no adapter, with one
LoRA (rank 8, every linear layer of the blocks) for all rows, with 16 different ones, and with 16 adapters of four kinds
(LoRA, bottleneck, prefix, soft prompt). The four take turns. The goal is that 16 different LoRAs cost at most 1.15
times the seconds of one for all, per written token.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence

import torch
from adaptation import FULL, SMALL
from torch import nn

from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.beginning import begin
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.routing import activate, route, using
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.models.llama import Llama
from trivium.runtime.allocator import keep_freed_memory

ROWS, READ, WRITTEN, RANK, GOAL = 16, 128, 32, 8, 1.15


def build(config: object) -> tuple[nn.Module, dict[str, list[str | None]]]:
    """The network with all adapters, and which row has which in each of the four cases."""
    torch.manual_seed(0)
    model = Llama(config).eval()  # type: ignore[arg-type]
    cases: dict[str, list[str | None]] = {"none": [None] * ROWS, "one LoRA": ["lora_0"] * ROWS}
    cases["16 LoRAs"] = [f"lora_{number}" for number in range(ROWS)]
    for number in range(ROWS):
        attach(model, f"lora_{number}", LoRAConfig(rank=RANK, targets="all-linear"))
    cases["4 kinds"] = [f"lora_{number}" for number in range(4)]
    for kind, settings in (
        ("bottleneck", BottleneckConfig(width=32)),
        ("prefix", PrefixConfig(tokens=8)),
        ("prompt", SoftPromptConfig(tokens=8)),
    ):
        for number in range(4):
            attach(model, f"{kind}_{number}", settings)
            cases["4 kinds"].append(f"{kind}_{number}")
    with torch.no_grad():
        for names in cases.values():
            for name in {name for name in names if name is not None}:
                for parameter in adapter_parameters(model, name).values():
                    parameter.normal_(std=0.02)
    activate(model, None)
    return model, cases


@torch.inference_mode()
def written(model: nn.Module, rows: Sequence[str | None], prompts: torch.Tensor, steps: int) -> tuple[float, float]:
    """Seconds of reading all prompts, and of one step of writing."""
    one = rows[0] if len(set(rows)) == 1 else None
    begun = time.perf_counter()
    with using(model, one) if len(set(rows)) == 1 else route(model, rows):
        state = begin(model, rows, prompts.shape[1] + steps)
        tokens = model.head(model(prompts, state=state).hidden[:, -1:]).argmax(-1)
        read = time.perf_counter()
        for _ in range(steps):
            tokens = model.head(model(tokens, state=state).hidden).argmax(-1)
    return read - begun, (time.perf_counter() - read) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="a small model and few rounds")
    asked = parser.parse_args()
    keep_freed_memory()
    model, cases = build(SMALL if asked.smoke else FULL)
    prompts = torch.randint(model.config.vocabulary_size, (ROWS, READ), generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for turn in range((2 if asked.smoke else asked.rounds) + 1):
        for name, rows in cases.items():
            taken = written(model, rows, prompts, WRITTEN)
            if turn:
                seconds[name].append(taken)
    results = {}
    for name, taken in seconds.items():
        reading, writing = ([pair[part] / base[part] for pair, base in zip(taken, seconds["one LoRA"], strict=True)]
                            for part in (0, 1))  # fmt: skip
        results[name] = {
            "read_ms": 1e3 * statistics.median(pair[0] for pair in taken),
            "step_ms": 1e3 * statistics.median(pair[1] for pair in taken),
            "reading": statistics.median(reading),
            "writing": statistics.median(writing),
        }
        row = results[name]
        print(f"{name:10s} reading {row['read_ms']:7.0f} ms ({row['reading']:.2f}x of one LoRA)"
              f"   a step of {ROWS} rows {row['step_ms']:6.1f} ms ({row['writing']:.2f}x)")  # fmt: skip
    print(f"goal: 16 LoRAs at most {GOAL} of one: {results['16 LoRAs']['writing']:.2f}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
