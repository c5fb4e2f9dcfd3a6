"""`trivium doctor`: what this machine can do, measured, and what follows for number format, threads and model size."""

import dataclasses
import platform
from collections.abc import Sequence
from typing import Any

import torch
from rich.table import Table

from trivium import __version__, sandbox
from trivium.cli import arguments
from trivium.cli.numbers import readable_count
from trivium.cli.output import print_json
from trivium.cli.terminal import console
from trivium.cli.verbs import Options, Verb
from trivium.errors import ConfigError
from trivium.planning import scaling_laws
from trivium.runtime import device, machine, threads

# Of the measured matrix speed, what a whole training step keeps: attention, softmax and the optimiser take the rest.
_STEP_EFFICIENCY = 0.5
# float32 weights, gradients and two moments of AdamW.
_TRAINING_BYTES_PER_PARAMETER = 16
# What weights and their training state may take; the rest is for activations, data and the system.
_MEMORY_SHARE = 0.5
_BUDGETS_SECONDS = {"5 minutes": 300, "1 hour": 3600, "1 day": 86400}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Says what this machine can do: cores, instruction sets, memory, GPU, measured speed; and what follows."""

    seconds: float = 2.0
    """How long to measure."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf"):
            raise ConfigError(
                "nothing can be measured in that time", received=f"{self.seconds:g} s", fix="leave it out"
            )


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints the facts and the advice; with --json one object."""
    settings = arguments.parse(DoctorConfig, verb, words)
    count = threads.choose_threads()
    threads.set_threads(count)
    speed = None if options.dry_run else machine.measure(settings.seconds)
    facts = examine(machine.describe(), speed)
    if options.json:
        print_json(facts)
    else:
        _print(facts)


def examine(here: machine.Machine, speed: machine.Speed | None) -> dict[str, Any]:
    """Everything `doctor` says, as plain data; `speed` None leaves out what only a measurement tells."""
    facts: dict[str, Any] = {
        "trivium": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": dataclasses.asdict(here),
        "speed": None if speed is None else dataclasses.asdict(speed),
        "sandbox": dataclasses.asdict(sandbox.survey()),
        "advice": _advice(here, speed),
    }
    return facts


def _advice(here: machine.Machine, speed: machine.Speed | None) -> dict[str, Any]:
    chosen = device.choose_device()
    refused = device.why_not_bfloat16(chosen)
    advice: dict[str, Any] = {
        "device": chosen.type,
        "dtype": str(device.choose_dtype("auto", chosen)).removeprefix("torch."),
        "why_not_bfloat16": refused,
        "threads": threads.choose_threads(),
    }
    if here.memory_gib is not None:
        advice["largest_trainable_parameters"] = largest_parameters(here.memory_gib)
    if speed is not None and chosen.type == "cpu":
        rate = speed.float32_gflops * 1e9 * _STEP_EFFICIENCY
        advice["budgets"] = [_suited(name, rate * seconds) for name, seconds in _BUDGETS_SECONDS.items()]
    return advice


def _suited(budget: str, operations: float) -> dict[str, Any]:
    """The model that learns best from this many operations, and the text it wants, every token new."""
    parameters, tokens = scaling_laws.optimal_allocation(operations)
    return {"budget": budget, "parameters": _round(parameters), "tokens": _round(tokens)}


def largest_parameters(memory_gib: float) -> int:
    """The largest model whose weights, gradients and moments fit half of the memory, to two significant figures."""
    return _round(memory_gib * 2**30 * _MEMORY_SHARE / _TRAINING_BYTES_PER_PARAMETER)


def _round(number: float) -> int:
    return int(float(f"{number:.2g}"))


def _print(facts: dict[str, Any]) -> None:
    view = console()
    here, speed, advice = facts["machine"], facts["speed"], facts["advice"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("trivium", f"{facts['trivium']}, Python {facts['python']}, torch {facts['torch']}")
    table.add_row("processor", here["processor"])
    table.add_row("cores", f"{here['cores']:g}")
    table.add_row("instructions", ", ".join(here["instruction_sets"]) or "unknown")
    table.add_row("memory", f"{_gib(here['memory_gib'])}, {_gib(here['available_gib'])} free")
    names = [f"{gpu['name']}, {_gib(gpu['memory_gib'])}, capability {gpu['capability']}" for gpu in here["gpus"]]
    table.add_row("GPU", "\n".join(names) or "none that torch sees")
    if speed is not None:
        half = speed["bfloat16_gflops"]
        fast = "no instructions for it" if half is None else f"{half:,.0f} GFLOP/s"
        table.add_row("float32 GEMM", f"{speed['float32_gflops']:,.0f} GFLOP/s with {_threads(speed['threads'])}")
        table.add_row("bfloat16 GEMM", fast)
        table.add_row("memory reading", f"{speed['bandwidth_gb']:.0f} GB/s")
    table.add_row("sandbox", _sandbox(facts["sandbox"]))
    view.print(table)
    view.print("\nWhat follows", style="bold")
    for line in _sentences(advice):
        view.print(f"  {line}")


def _sentences(advice: dict[str, Any]) -> list[str]:
    lines = [f"Work on the {advice['device']} in {advice['dtype']}, with {_threads(advice['threads'])}."]
    if advice["why_not_bfloat16"]:
        lines.append(f"bfloat16 is refused: {advice['why_not_bfloat16']}.")
    if "largest_trainable_parameters" in advice:
        largest = readable_count(advice["largest_trainable_parameters"])
        lines.append(f"Memory allows full training of up to about {largest} parameters.")
    for row in advice.get("budgets", []):
        size, tokens = readable_count(row["parameters"]), readable_count(row["tokens"])
        lines.append(f"In {row['budget']}, about {size} parameters learn best, from {tokens} tokens of new text.")
    return lines


def _sandbox(survey: dict[str, Any]) -> str:
    """Which layers would hold a program that a model wrote, and which are missing for what reason."""
    there = f"{'programs run behind' if survey['usable'] else 'NO program is run; there are'} "
    lines = [there + (", ".join(survey["layers"]) or "no layers").replace("_", " ")]
    lines += [f"no {name.replace('_', ' ')}: {reason}" for name, reason in survey["missing"].items()]
    return "\n".join(lines)


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def _gib(size: float | None) -> str:
    return "unknown" if size is None else f"{size:.1f} GiB"
