"""What training and generation will need of a machine: memory by part, time, and how far one can go.

    planned = plan_finetuning(planned_model("llama-65b"), "qlora", None, step, room)

Everything is rehearsed (`trivium.planning.memory`); the longest rows and the most of them are foretold from one more
rehearsal each, of twice as many rows and of rows half as long, since memory grows with both by equal steps.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import torch

from trivium.errors import ConfigError
from trivium.generation.reading import context_limit
from trivium.models.llama import Llama, LlamaConfig
from trivium.objectives.causal import causal
from trivium.planning import account
from trivium.planning.memory import Rehearsed
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.method_config import WAYS, MethodName
from trivium.recipes.plan_blocks import rehearsed
from trivium.recipes.plan_model import PlannedModel
from trivium.recipes.plan_steps import (
    OptimiserName,
    Step,
    causal_batch,
    rehearse_finetuning,
    rehearse_generation,
    rehearse_pretraining,
)
from trivium.runtime import machine, memory
from trivium.runtime.device import DTYPES
from trivium.training.optimisers import OptimiserConfig, build_optimisers

GIB = 2**30
# A CUDA context with the libraries of matrix products; of a CPU the process is measured. Not measured by us.
_CUDA_PROCESS_BYTES = int(0.6 * GIB)
# Of the speed of a large matrix product, what a training step keeps (`trivium.cli.dry_run.training`).
_STEP_EFFICIENCY = 0.7
_MEASURED_SECONDS = 0.6
COMPARED: tuple[tuple[MethodName, OptimiserName], ...] = (
    ("full", "adamw"),
    ("full", "adamw8bit"),
    ("lora", "adamw"),
    ("qlora", "adamw"),
    ("houlsby", "adamw"),
    ("prefix", "adamw"),
)
"""The methods that are set side by side where none is named: what they train differs most."""

CHOOSING_BLOCKS = ("lisa", "last-k", "layers", "llama-adapter")
"""Methods that treat a few blocks otherwise, so that a deep model is not planned from shallow ones."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedMachine:
    """The machine that the work is planned for: this one, as far as nothing else is said."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the work is done; cuda also where there is none here, with memory-gib. auto: a GPU where there is one."""
    memory_gib: float | None = None
    """Memory of that device; null for what there is here."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the forward and backward pass, and of weights that are frozen or only used."""
    gflops: float | None = None
    """Its speed of large matrix products, in 10^9 operations a second; null to measure it, of a CPU."""

    def __post_init__(self) -> None:
        for name in ("memory_gib", "gflops"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be a finite number above 0", received=value)

    @property
    def is_gpu(self) -> bool:
        """Whether the work is done on one."""
        return self.device == "cuda" or (self.device == "auto" and torch.cuda.is_available())

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch has it."""
        return DTYPES[self.dtype]

    def limit_bytes(self) -> int:
        """Memory that there is. Raises `ConfigError` where it is neither given nor known."""
        found = self.memory_gib
        if found is None and self.is_gpu:
            found = next((gpu.memory_gib for gpu in machine.describe().gpus), None)
        elif found is None:
            found = machine.total_memory_gib()
        if found is None:
            raise ConfigError("the memory of the device is not known here", fix="give it with --memory-gib")
        return int(found * GIB)

    def process_bytes(self) -> int:
        """What a process has beside its tensors: Python, libraries, or the context of a GPU."""
        if self.is_gpu:
            return _CUDA_PROCESS_BYTES
        _load_what_an_update_loads()
        return int(memory.peak_mib() * 2**20)

    def operations_a_second(self) -> float | None:
        """That a step keeps up; None of a GPU of which nothing is said."""
        if self.gflops is None and self.is_gpu:
            return None
        gflops = self.gflops or machine.measure(_MEASURED_SECONDS).float32_gflops
        return gflops * 1e9 * _STEP_EFFICIENCY


def _load_what_an_update_loads() -> None:
    """PyTorch imports much of itself, starts its threads and prepares its kernels in the first update of a process."""
    shape = LlamaConfig(vocabulary_size=64, width=64, layers=1, heads=2, inner_width=64, context_tokens=64)
    network = Llama(shape)
    optimisers = build_optimisers(network, OptimiserConfig())
    causal(network, causal_batch(2, Step(rows=2, context_tokens=64))).total.backward()
    optimisers.step()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Room:
    """What a plan is measured against; worked out once for all plans of a command."""

    limit: int
    """Bytes of memory."""
    process: int
    """Bytes of the process beside its tensors."""
    rate: float | None
    """Operations a second."""
    in_heap: bool = True
    """Whether tensors lie in the heap of the C library, whose holes count: on the CPU. What a GPU's allocator keeps
    beside the tensors is not foretold."""

    @classmethod
    def of(cls, planned_machine: PlannedMachine) -> "Room":
        """Of a machine. Called before any rehearsal, whose own memory is not the work's."""
        process = planned_machine.process_bytes()
        limit = planned_machine.limit_bytes()
        rate = planned_machine.operations_a_second()
        return cls(limit=limit, process=process, rate=rate, in_heap=not planned_machine.is_gpu)

    @property
    def free(self) -> int:
        """Bytes for tensors."""
        return self.limit - self.process

    def taken(self, found: Rehearsed) -> int:
        """Of them, with the holes between the tensors."""
        return found.heap if self.in_heap else found.memory.tensors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planned:
    """One way of doing the work, and what it needs."""

    way: str
    """The method, with the optimiser where it is not AdamW."""
    rehearsed: Rehearsed
    room: Room
    tokens: int
    """That an update reads, or that are read at once."""
    recomputed: bool = False
    """Activations are computed again in the backward pass, because they would not fit or it was asked for."""
    most_rows: int | None = None
    """About so many rows fit; None where the work does not fit, or is not counted in rows."""
    longest_context: int | None = None
    """Rows of about so many tokens fit."""

    @property
    def in_all(self) -> int:
        """Bytes, with the process."""
        return self.room.taken(self.rehearsed) + self.room.process

    @property
    def fits(self) -> bool:
        """Whether the machine has so much."""
        return self.in_all <= self.room.limit

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        parts = dataclasses.asdict(self.rehearsed.memory)
        parts["holes"] = self.room.taken(self.rehearsed) - self.rehearsed.memory.tensors
        seconds = None if self.room.rate is None else self.rehearsed.operations / self.room.rate
        return {
            "method": self.way,
            "fits": self.fits,
            "memory_bytes": {name: size for name, size in parts.items() if size}
            | {"process": self.room.process, "in_all": self.in_all},
            "activations_recomputed": self.recomputed,
            "trained_parameters": self.rehearsed.trained_parameters,
            "most_rows": self.most_rows,
            "longest_context": self.longest_context,
            "operations": self.rehearsed.operations,
            "seconds": None if seconds is None else round(seconds, 3),
            "tokens_per_second": None if not seconds else round(self.tokens / seconds, 1),
        }


def plan_finetuning(model: PlannedModel, method: MethodName, rank: int | None, step: Step, room: Room) -> Planned:
    """One method; activations are kept where they fit, and else computed again. Raises `Unsupported` or `ConfigError`
    for what the method cannot be on this model."""
    settings = method_settings(method, rank)
    dtype = torch.float32 if WAYS[method].part is not None else step.dtype

    def rehearse(step: Step) -> Rehearsed:
        if method in CHOOSING_BLOCKS:
            return rehearse_finetuning(model.network(dtype), method, settings, step)
        return rehearsed(model, dtype, lambda network: rehearse_finetuning(network, method, settings, step))

    way = method if step.optimiser == "adamw" else f"{method}, {step.optimiser}"
    return _planned(way, rehearse, step, room, context_limit(model.network()))


def plan_pretraining(model: PlannedModel, step: Step, room: Room) -> Planned:
    """All parameters trained, in fp32."""
    most_tokens = context_limit(model.network())

    def rehearse(step: Step) -> Rehearsed:
        return rehearsed(model, torch.float32, lambda network: rehearse_pretraining(network, step))

    return _planned("pretraining", rehearse, step, room, most_tokens)


def plan_generation(
    model: PlannedModel, *, rows: int, prompt_tokens: int, new_tokens: int, nf4: bool, dtype: torch.dtype, room: Room
) -> Planned:
    """Weights, the cache of all rows, and what reading the prompts needs. The time is that of reading them."""

    def rehearse(rows: int) -> Rehearsed:
        read = functools.partial(
            rehearse_generation, rows=rows, prompt_tokens=prompt_tokens, new_tokens=new_tokens, nf4=nf4
        )
        return rehearsed(model, dtype, read)

    one = rehearse(rows)
    planned = Planned(way="generation", rehearsed=one, room=room, tokens=rows * prompt_tokens)
    if not planned.fits:
        return planned
    return dataclasses.replace(planned, most_rows=_furthest(rows, one, 2 * rows, rehearse(2 * rows), room))


def _planned(
    way: str, rehearse: Callable[[Step], Rehearsed], step: Step, room: Room, most_tokens: int | None
) -> Planned:
    found = rehearse(step)
    memory = found.memory
    could_fit = memory.weights + memory.adapters + memory.optimiser <= room.free
    if room.taken(found) > room.free and could_fit and not step.activation_checkpointing:
        step = dataclasses.replace(step, activation_checkpointing=True)
        found = rehearse(step)
    planned = Planned(way=way, rehearsed=found, room=room, tokens=step.tokens, recomputed=step.activation_checkpointing)
    if not planned.fits:
        return planned
    more = rehearse(dataclasses.replace(step, rows=2 * step.rows))
    half = max(1, step.context_tokens // 2)
    shorter = rehearse(dataclasses.replace(step, context_tokens=half))
    longest = _furthest(step.context_tokens, found, half, shorter, room)
    return dataclasses.replace(
        planned,
        most_rows=_furthest(step.rows, found, 2 * step.rows, more, room),
        longest_context=longest if longest is None or most_tokens is None else min(longest, most_tokens),
    )


def _furthest(size: int, found: Rehearsed, other: int, other_found: Rehearsed, room: Room) -> int | None:
    """The largest size that fits, where `size` takes what `found` does and `other` what `other_found` does; None where
    it costs nothing, or is not known."""
    if other == size:
        return None
    each = (room.taken(other_found) - room.taken(found)) / (other - size)
    return None if each <= 0 else size + int((room.free - room.taken(found)) / each)


def method_settings(method: MethodName, rank: int | None) -> Any:
    """Those that `trivium finetune` has by default, with another rank where one is given; `ConfigError` where the
    method has none."""
    usual = FinetuneConfig(model=pathlib.Path(), data=pathlib.Path(), method=method).method_settings
    if rank is None:
        return usual
    if WAYS[method].settings != "lora":
        raise ConfigError(f"the method {method} has no rank", received=f"rank {rank}", fix="leave it out")
    return dataclasses.replace(usual, rank=rank)


def model_facts(model: PlannedModel, planned: Planned) -> dict[str, Any]:
    """The model, its machine, and what the classic account makes of it."""
    parameters = sum(parameter.numel() for parameter in model.network().parameters())
    return {
        "model": model.name,
        "architecture": model.entry.name,
        "parameters": parameters,
        "device_memory_gib": round(planned.room.limit / GIB, 2),
        "classic_account": account.classic_line(parameters),
    }
