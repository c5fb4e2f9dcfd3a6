"""What pays: what each way of saving memory saves in full fine-tuning, and what it costs in time.

    python benchmarks/saving_memory.py            # some six minutes on two cores
    python benchmarks/saving_memory.py --smoke    # seconds: a small model, two updates

A LLaMA of 15 million parameters on packed instructions, four rows of 512 tokens an update, in fp32, through the learner
and the optimisers that every recipe uses. The first side is AdamW alone; the others change one thing, the last ones
several, and LoRA of rank 8 on all linear layers stands beside them. All see the same batches and take turns, update by
update: seconds are the median, and the ratio that of each update to AdamW's own. The subspaces of GaLore, found once in
200 updates, are found in the first update, which is not timed with the others and told apart.

Bytes are those of tensors, counted storage by storage (`trivium.planning.ledger`) in the second update, with weights
and the optimiser's state: at most, and what is held from one update to the next. What a kernel takes for itself is not
seen. Nothing here is offloaded to the host: it is what the model lies in.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from training import VOCABULARY, instruction_lengths, packed_batches

from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.data.batches import CausalBatch
from trivium.models.llama import Llama, LlamaConfig
from trivium.objectives.causal import causal
from trivium.planning.ledger import Ledger
from trivium.planning.measured import Noting
from trivium.runtime.allocator import keep_freed_memory
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.layer_sampling import LayerSampling, LayerSamplingConfig
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig

FULL = LlamaConfig(
    vocabulary_size=VOCABULARY, width=384, layers=7, heads=6, inner_width=1024, context_tokens=512, tied=True
)
SMALL = LlamaConfig(
    vocabulary_size=VOCABULARY, width=64, layers=3, heads=2, inner_width=128, context_tokens=512, tied=True
)
RATE, STEPS = 1e-4, 1000


@dataclass(frozen=True, kw_only=True)
class Way:
    """What one side does otherwise than AdamW on all parameters."""

    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(learning_rate=RATE))
    """Which optimiser."""
    checkpointed: bool = False
    """Activations of blocks are computed again in the backward pass."""
    in_backward: bool = False
    """Each weight is updated as soon as its gradient is known."""
    sampled: bool = False
    """LISA: two blocks train at a time."""
    lora: bool = False
    """Low-rank updates train, and nothing else."""


_EIGHT_BIT = OptimiserConfig(kind="adamw8bit", learning_rate=RATE)
_GALORE = OptimiserConfig(kind="galore", learning_rate=RATE, galore_rank=96)  # a quarter of the width, as in the paper
WAYS = {
    "AdamW": Way(),
    "activation checkpointing": Way(checkpointed=True),
    "update in backward": Way(in_backward=True),
    "8-bit AdamW": Way(optimiser=_EIGHT_BIT),
    "GaLore": Way(optimiser=_GALORE),
    "LISA": Way(sampled=True),
    "8-bit, checkpointing, in backward": Way(optimiser=_EIGHT_BIT, checkpointed=True, in_backward=True),
    "GaLore, checkpointing, in backward": Way(optimiser=_GALORE, checkpointed=True, in_backward=True),
    "LISA, checkpointing, in backward": Way(sampled=True, checkpointed=True, in_backward=True),
    "LoRA": Way(lora=True),
    "LoRA, checkpointing": Way(lora=True, checkpointed=True),
}


def learner(way: Way, config: LlamaConfig) -> SupervisedLearner:
    """One side, with the same weights as every other."""
    torch.manual_seed(0)
    model = Llama(config)
    before_step: Callable[[int], None] | None = None
    if way.lora:
        attach(model, "tuned", LoRAConfig(rank=8, targets="all-linear"))
    if way.sampled:
        before_step = LayerSampling(model, LayerSamplingConfig(blocks=2), seed=0)
    if way.checkpointed:
        checkpoint_blocks(model)
    settings = SupervisedConfig(optimiser=way.optimiser, clip_norm=None, update_in_backward=way.in_backward)
    return SupervisedLearner(model, causal, settings, steps=STEPS, before_step=before_step)


@dataclass(kw_only=True)
class Side:
    """One way, and what was measured of it."""

    learner: SupervisedLearner
    trained: int
    """Numbers that may be trained."""
    first_seconds: float = 0.0
    """The update in which subspaces are found and memory is allocated."""
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    held_bytes: int = 0
    """From one update to the next."""

    def timed(self, batch: CausalBatch) -> float:
        begin = time.perf_counter()
        self.learner.step(batch)
        return time.perf_counter() - begin

    def count(self, batch: CausalBatch) -> None:
        """Bytes of an update whose optimiser has its state: of the first two, the second."""
        ledger, model = Ledger(), self.learner.model
        ledger.note([*model.parameters(), *model.buffers()])
        with Noting(ledger):
            self.first_seconds = self.timed(batch)
            ledger.begin()
            self.learner.step(batch)
        self.peak_bytes = ledger.bytes_of(ledger.at_peaks(ledger.place)[0])
        self.held_bytes = ledger.bytes_of(ledger.alive)


def trained(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def measured(names: list[str], config: LlamaConfig, batches: list[CausalBatch]) -> dict[str, dict[str, float]]:
    """Bytes of each side, and then all of them update by update in turns."""
    sides = {}
    for name in names:
        made = learner(WAYS[name], config)
        sides[name] = Side(learner=made, trained=trained(made.model))
        sides[name].count(batches[0])
    for batch in batches[1:]:
        for side in sides.values():
            side.seconds.append(side.timed(batch))
    plain = next(iter(sides.values()))
    return {
        name: {
            "trained": side.trained,
            "peak_mib": side.peak_bytes / 2**20,
            "held_mib": side.held_bytes / 2**20,
            "peak": side.peak_bytes / plain.peak_bytes,
            "seconds": statistics.median(side.seconds),
            "time": statistics.median(own / usual for own, usual in zip(side.seconds, plain.seconds, strict=True)),
            "first_seconds": side.first_seconds,
        }
        for name, side in sides.items()
    }


def report(found: dict[str, dict[str, float]]) -> None:
    """One line a side."""
    print(f"{'':36s}{'trained':>12s}{'peak MiB':>10s}{'held MiB':>10s}{'peak':>7s}{'s/update':>10s}{'time':>7s}")
    for name, row in found.items():
        bytes_told = f"{row['peak_mib']:10.0f}{row['held_mib']:10.0f}{row['peak']:6.2f}x"
        print(f"{name:36s}{int(row['trained']):12,d}{bytes_told}{row['seconds']:10.2f}{row['time']:6.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=6)
    parser.add_argument("--smoke", action="store_true", help="a small model and two updates")
    asked = parser.parse_args()
    keep_freed_memory()
    config, updates = (SMALL, 2) if asked.smoke else (FULL, asked.updates)
    torch.manual_seed(0)
    halves = [half for batch in packed_batches(instruction_lengths()) for half in batch.split(2)]
    batches = [halves[number % len(halves)] for number in range(updates + 1)]
    found = measured(list(WAYS), config, batches)
    report(found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
