"""A method of fine-tuning put in place on a model: what trains, at which rates, and what a run of it publishes."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trivium.adapters.adapter_set import has_adapters
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.counting import numbers_in, trained_in
from trivium.adapters.lora_plus import learning_rate_factors
from trivium.adapters.selective import GradualUnfreezing, SelectiveConfig, rate_factors, select
from trivium.checkpoints.adapter_folder import write_adapter
from trivium.checkpoints.folder import FolderWriter
from trivium.checkpoints.model_folder import write_model
from trivium.checkpoints.provenance import read_description
from trivium.errors import CheckpointError, Unsupported
from trivium.recipes.method_config import WAYS, MethodName, Settings
from trivium.reports import parts
from trivium.reports.page import Section
from trivium.runtime import memory
from trivium.runtime.device import choose_dtype
from trivium.tokenizers import Tokenizer
from trivium.training.ema import computing_with
from trivium.training.layer_sampling import LayerSampling, LayerSamplingConfig
from trivium.training.precision import Precision
from trivium.training.run import Run

ADAPTER = "tuned"
"""The name of the adapter while it is trained."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adapted:
    """What training needs to know of a method that is in place."""

    method: MethodName
    factors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """By what the rates of parameters are multiplied, by their names."""
    before_step: Callable[[int], None] | None = None
    """Called before each update with the number of those before it."""
    trained: int
    """Numbers that are trained."""
    numbers: int
    """Numbers of the model with all that the method adds to it."""

    @property
    def is_adapter(self) -> bool:
        """Whether the run saves an adapter, and not a whole model."""
        return WAYS[self.method].part is None

    def facts(self) -> dict[str, Any]:
        """What the saved model or adapter tells."""
        told = {"method": self.method, "trained_parameters": self.trained, "parameters": self.numbers}
        packed = WAYS[self.method].quantize
        return told if packed is None else {**told, "quantize": packed}


def adapt(
    model: nn.Module, method: MethodName, settings: Settings, *, lora_plus_ratio: float = 1.0, seed: int = 0
) -> Adapted:
    """Puts the method in place; `lora_plus_ratio` is read by lora+ alone, and `seed` by lisa, whose blocks are drawn.

    Raises `ConfigError` or `Unsupported` for what it cannot be on this model.
    """
    if has_adapters(model):
        raise Unsupported(
            "the model has an adapter already, and what is trained further is one model",
            fix="make it part of the model first: trivium merge RUN --output FOLDER",
        )
    way = WAYS[method]
    factors: Mapping[str, float] = {}
    before_step: Callable[[int], None] | None = None
    if isinstance(settings, SelectiveConfig):
        assert way.part is not None, method
        select(model, way.part, settings)
        if settings.rate_factor != 1:
            factors = rate_factors(model, settings.rate_factor)
        if settings.unfreeze_every_steps is not None:
            before_step = GradualUnfreezing(model, settings.unfreeze_every_steps)
    elif isinstance(settings, LayerSamplingConfig):
        before_step = LayerSampling(model, settings, seed=seed)
    else:
        attach(model, ADAPTER, settings)
        return adapted_further(model, method, lora_plus_ratio=lora_plus_ratio)
    return Adapted(
        method=method,
        factors=factors,
        before_step=before_step,
        trained=trained_in(model),
        numbers=numbers_in(model),
    )


def adapted_further(model: nn.Module, method: MethodName, *, lora_plus_ratio: float = 1.0) -> Adapted:
    """The adapter that is on the model as `ADAPTER`, trained as it stands; see `adapt`.

    It is held in fp32, whatever its base is held in: its updates are smaller than bfloat16 tells apart.
    """
    for parameter in adapter_parameters(model, ADAPTER).values():
        parameter.data = parameter.data.to(torch.promote_types(parameter.dtype, torch.float32))
    factors = learning_rate_factors(model, ADAPTER, lora_plus_ratio) if method == "lora+" else {}
    return Adapted(method=method, factors=factors, trained=trained_in(model), numbers=numbers_in(model))


def hold_frozen(model: nn.Module, precision: Precision) -> None:
    """Puts what is frozen in the number format that is computed in, one parameter after the other."""
    for parameter in model.parameters():
        if not parameter.requires_grad and parameter.is_floating_point():
            parameter.data = parameter.data.to(choose_dtype(precision, parameter.device))


def writing(adapted: Adapted, run: pathlib.Path, base: pathlib.Path) -> Callable[..., None]:
    """What writes the files of a checkpoint, as `write_model` does: of the adapter alone, where there is one."""
    return functools.partial(_write_adapter, run=run, base=base) if adapted.is_adapter else write_model


def _write_adapter(
    writer: FolderWriter,
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    tokenizer: Tokenizer,
    generation: Mapping[str, Any],
    metadata: Mapping[str, Any],
    run: pathlib.Path,
    base: pathlib.Path,
) -> None:
    """`weights` may be an average of those that are trained."""
    rows = Run(run).metrics()
    told = {"seconds": round(rows[-1]["seconds"], 1)} if rows else {}
    told |= {"peak_memory_mib": round(peak_mib(model))}
    with computing_with(adapter_parameters(model, ADAPTER), weights):
        write_adapter(
            writer,
            model,
            ADAPTER,
            base=str(base),
            metadata={**metadata, **told},
            tokenizer=tokenizer,
            generation=generation,
        )


def require_same_start(run: Run, metadata: Mapping[str, Any]) -> None:
    """Raises `CheckpointError` where a run began with another base, whose weights are not in its checkpoints, or with
    another adapter, near which it may be held."""
    saved = run.saved_steps()
    began = read_description(run.checkpoint(saved[-1])) if saved else metadata
    for name, hashed in (("parent", "parent_sha256"), ("adapter", "adapter_sha256")):
        if began.get(hashed) != metadata.get(hashed):
            raise CheckpointError(
                "the run was started from other weights than those that the model has now",
                received=str(metadata.get(name)),
                expected=f"weights of SHA-256 {str(began.get(hashed))[:12]}...",
                fix="put the model back as it was, or start a new run",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run of a method came to."""

    method: MethodName
    trained: int
    """Numbers that were trained."""
    numbers: int
    """Numbers of the model with all that the method adds to it."""
    peak_memory_mib: float
    """Most memory that the process held, from its start; of a resumed run since then."""
    seconds: float
    """Of work, earlier parts of the run included."""
    passes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """How often each task, and what was rehearsed, was read; nothing where there was one kind of example."""

    def facts(self) -> dict[str, str]:
        """In words."""
        told = {
            "method": self.method,
            "numbers trained": f"{self.trained:,} of {self.numbers:,} ({self.trained / self.numbers:.2%})",
            "memory at most": f"{self.peak_memory_mib:,.0f} MiB",
            "time": f"{self.seconds:,.1f} s",
        }
        passes = "; ".join(f"{task} {count:.2g}" for task, count in self.passes.items())
        return {**told, "passes": passes} if passes else told

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.facts().items())


def summary(adapted: Adapted, run: Run, model: nn.Module, *, passes: Mapping[str, float]) -> Summary:
    """Of a finished run, which read each task so many times."""
    rows = run.metrics()
    return Summary(
        method=adapted.method,
        trained=adapted.trained,
        numbers=adapted.numbers,
        peak_memory_mib=peak_mib(model),
        seconds=rows[-1]["seconds"] if rows else 0.0,
        passes=passes,
    )


def summary_section(done: Summary) -> Section:
    """For the run's report."""
    return Section(title="What was trained", body=parts.table(("", ""), list(done.facts().items())))


def peak_mib(model: nn.Module) -> float:
    """Most memory that this process has held so far, on the model's device, in MiB."""
    device = next(model.parameters()).device
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else memory.peak_mib()
