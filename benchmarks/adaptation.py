"""Tuning a LLaMA of 110 million parameters on instructions, beside Hugging Face, PEFT and bitsandbytes.

    python benchmarks/adaptation.py            # some 15 minutes on two cores
    python benchmarks/adaptation.py --smoke    # a minute: a small model, two updates

Three pairs: full fine-tuning beside `transformers`; LoRA of rank 8 on every linear layer of the blocks beside PEFT;
QLoRA (NF4, double quantisation) beside PEFT on bitsandbytes, where that is installed: `pip install bitsandbytes` in an
environment of its own, its path in PYTHONPATH (benchmarks/envs/adaptation.txt). Both sides of a pair make the same
updates: eight instructions that people wrote with their answers, of unequal lengths, as they come. Ours are packed in
rows, theirs padded to the longest, as their collators do. fp32, fused AdamW, no dropout. The sides take turns, update
by update; the ratio is the median over updates of theirs / ours, in seconds.

Peak tensor bytes are those of one update, the optimiser's state included, counted storage by storage
(`trivium.planning.ledger`) on each side alike; what a kernel allocates for itself is not seen. Goals: LoRA and QLoRA
1.5 times the speed, full 1.25; LoRA 0.7 of the bytes, QLoRA 0.5.
"""

import argparse
import gc
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import LoraConfig as TheirLoRA
from peft import get_peft_model, prepare_model_for_kbit_training
from torch import Tensor, nn
from training import instruction_lengths
from transformers import BitsAndBytesConfig, LlamaForCausalLM
from transformers import LlamaConfig as TheirConfig

from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.data.batches import CausalBatch
from trivium.data.packing import pack
from trivium.models.llama import Llama, LlamaConfig
from trivium.nn.quantized import quantise_linears
from trivium.objectives.causal import causal
from trivium.planning.ledger import Ledger
from trivium.planning.measured import Noting
from trivium.runtime.allocator import keep_freed_memory

FULL = LlamaConfig(
    vocabulary_size=32_000, width=768, layers=12, heads=12, inner_width=2048, context_tokens=512, tied=True
)
SMALL = LlamaConfig(vocabulary_size=512, width=64, layers=2, heads=2, inner_width=128, context_tokens=512, tied=True)
EXAMPLES, RANK, ROW_TOKENS = 8, 8, 512
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
GOALS = {"full": (1.25, None), "lora": (1.5, 0.7), "qlora": (1.5, 0.5)}
"""At least so many times their speed, at most so much of their bytes."""


@dataclass
class Side:
    """One of a pair: a network, and the mean loss that it gives of some examples."""

    network: nn.Module
    loss: Callable[[list[Tensor]], Tensor]
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    def __post_init__(self) -> None:
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.trained = sum(parameter.numel() for parameter in trained)
        self._optimiser = torch.optim.AdamW(trained, lr=1e-4, fused=True)

    def update(self, examples: list[Tensor]) -> None:
        """Forward, backward, one update."""
        self.loss(examples).backward()
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)

    def timed(self, examples: list[Tensor]) -> None:
        begin = time.perf_counter()
        self.update(examples)
        self.seconds.append(time.perf_counter() - begin)

    def count(self, examples: list[Tensor]) -> None:
        """The peak of an update of a training that has begun."""
        ledger = Ledger()
        ledger.note([*self.network.parameters(), *self.network.buffers()])
        ledger.note([list(state.values()) for state in self._optimiser.state.values()])
        ledger.begin()
        with Noting(ledger):
            self.update(examples)
        self.peak_bytes = ledger.bytes_of(ledger.at_peaks(ledger.place)[0])


def packed(examples: list[Tensor], row_tokens: int) -> CausalBatch:
    """The examples in as few rows as they fit in, unseen by each other."""
    lengths = torch.tensor([len(ids) - 1 for ids in examples])
    packing = pack(lengths.numpy(), row_tokens)
    tokens = torch.zeros(packing.rows, row_tokens, dtype=torch.long)
    targets, segments = torch.zeros_like(tokens), torch.full_like(tokens, -1)
    for row in range(packing.rows):
        place = 0
        for number, index in enumerate(packing.pieces[packing.row_starts[row] : packing.row_starts[row + 1]]):
            ids = examples[index]
            own = slice(place, place + len(ids) - 1)
            tokens[row, own], targets[row, own], segments[row, own] = ids[:-1], ids[1:], number
            place = own.stop
    real = segments >= 0
    width = int(real.sum(1).max())
    return CausalBatch(
        tokens=tokens[:, :width],
        targets=targets[:, :width],
        mask=real[:, :width],
        lengths=real.sum(1),
        segments=segments[:, :width],
    )


def ours(kind: str, config: LlamaConfig) -> Side:
    """Our network, tuned in one of three ways."""
    torch.manual_seed(0)
    network = Llama(config)
    if kind == "qlora":
        quantise_linears(network)
    if kind != "full":
        attach(network, "tuned", LoRAConfig(rank=RANK, alpha=16, targets=tuple(TARGETS)))
    network.train()

    def loss(examples: list[Tensor]) -> Tensor:
        found = causal(network, packed(examples, ROW_TOKENS))
        return found.total / found.count

    return Side(network, loss)


def theirs(kind: str, config: LlamaConfig) -> Side:
    """The same of `transformers`, PEFT and bitsandbytes."""
    torch.manual_seed(0)
    network: Any = LlamaForCausalLM(TheirConfig(**config.to_hf()))
    if kind == "qlora":
        with tempfile.TemporaryDirectory() as folder:
            network.save_pretrained(folder)
            packing = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.float32,
            )
            network = LlamaForCausalLM.from_pretrained(
                folder, quantization_config=packing, device_map={"": "cpu"}, dtype=torch.float32
            )
        network = prepare_model_for_kbit_training(network, use_gradient_checkpointing=False)
    if kind != "full":
        network = get_peft_model(
            network, TheirLoRA(r=RANK, lora_alpha=16, target_modules=TARGETS, task_type="CAUSAL_LM")
        )
    network.train()

    def loss(examples: list[Tensor]) -> Tensor:
        longest = max(map(len, examples))
        ids = torch.zeros(len(examples), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, example in enumerate(examples):
            ids[row, : len(example)], mask[row, : len(example)] = example, 1
        return network(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss

    return Side(network, loss)


def measured(kind: str, config: LlamaConfig, batches: list[list[Tensor]]) -> dict[str, Any]:
    """Both sides of a pair, update by update in turns, and then their bytes."""
    sides = {"trivium": ours(kind, config), "theirs": theirs(kind, config)}
    for side in sides.values():  # the first allocates memory, and makes the optimiser's state
        side.update(batches[0])
    for batch in batches[1:]:
        for side in sides.values():
            side.timed(batch)
    longest = max(batches, key=lambda batch: max(map(len, batch)))
    tokens = sum(len(ids) - 1 for batch in batches[1:] for ids in batch)
    found: dict[str, Any] = {"kind": kind, "trained": sides["trivium"].trained}
    assert sides["theirs"].trained == found["trained"], "not the same adapters"
    for name, side in sides.items():
        side.count(longest)
        found[name] = {"tokens_per_second": tokens / sum(side.seconds), "peak_mib": side.peak_bytes / 2**20}
    pairs = zip(sides["theirs"].seconds, sides["trivium"].seconds, strict=True)
    found["speed"] = statistics.median(slow / fast for slow, fast in pairs)
    found["bytes"] = sides["trivium"].peak_bytes / sides["theirs"].peak_bytes
    sides.clear()
    gc.collect()
    return found


def report(found: dict[str, Any]) -> None:
    """One line a side, and what the goals say."""
    speed, share = GOALS[found["kind"]]
    print(f"{found['kind']}: {found['trained']:,} trained parameters")
    for name in ("trivium", "theirs"):
        side = found[name]
        print(f"  {name:8s} {side['tokens_per_second']:7.0f} tokens/s  {side['peak_mib']:7.0f} MiB of tensors at most")
    wanted = f"(goal {speed})" + ("" if share is None else f", bytes goal {share}")
    print(f"  speed {found['speed']:.2f}x, bytes {found['bytes']:.2f}x {wanted}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=GOALS, help="only this pair")
    parser.add_argument("--updates", type=int, default=8)
    parser.add_argument("--smoke", action="store_true", help="a small model and two updates")
    asked = parser.parse_args()
    keep_freed_memory()
    config, updates = (SMALL, 2) if asked.smoke else (FULL, asked.updates)
    lengths = instruction_lengths()[: EXAMPLES * (updates + 1)]
    draws = torch.Generator().manual_seed(0)
    ids = [torch.randint(config.vocabulary_size, (length + 1,), generator=draws) for length in lengths]
    batches = [ids[start : start + EXAMPLES] for start in range(0, len(ids), EXAMPLES)]
    results = []
    for kind in [asked.kind] if asked.kind else GOALS:
        if kind == "qlora" and importlib.util.find_spec("bitsandbytes") is None:
            print("qlora: bitsandbytes is not installed, see benchmarks/envs/adaptation.txt")
            continue
        results.append(measured(kind, config, batches))
        report(results[-1])
    print(json.dumps(results))


if __name__ == "__main__":
    main()
