"""What the training recipes share: settings, the steps that fit in the time, and the way into the trainer."""

import copy
import dataclasses
import functools
import math
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import nn

from trivium import config as configuration
from trivium.checkpoints.model_folder import write_model
from trivium.data.batches import Batch
from trivium.data.resumable import BatchSource, BatchType
from trivium.errors import ConfigError
from trivium.objectives.causal import causal
from trivium.runtime import allocator, processes, seeds, threads
from trivium.runtime.device import choose_device
from trivium.tokenizers import Tokenizer
from trivium.training import parallel
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.compilation import compile_blocks
from trivium.training.learners.supervised import Objective, SupervisedConfig, SupervisedLearner
from trivium.training.learners.updates import learnt_tensors, own_tensors
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.private_gradients import Privacy
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig
from trivium.training.trainer import Trainer, TrainerConfig

DEFAULT_STEPS = 1000
"""Updates of a run that is told neither steps nor minutes."""
_SHORT_WARMUP = 8
"""Part of a run that the warm-up takes where the usual one would take all of it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a step is computed, and how often to look and save."""

    micro_batches: int = 1
    """Parts that a batch is computed in, one after the other: less memory, the same update."""
    clip_norm: float | None = 1.0
    """Longest gradient that is applied as it is; null for no limit."""
    ema_decay: float | None = None
    """Decay of a moving average of the weights, which is then what is evaluated and saved; null for none."""
    non_monotone_evaluations: int | None = None
    """Evaluate and save the mean of the weights since the validation loss was first above the best of all but so many
    evaluations before (NT-ASGD, Merity et al. 2018, with the optimiser sgd; 5 there); null for no such mean."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more work."""
    update_in_backward: bool = False
    """Update each weight as soon as its gradient is known, which is then forgotten: less memory. Needs clip_norm null,
    one micro-batch and one process."""
    compile: bool = False
    """Use torch.compile: half a minute at the start, then faster by a third or more."""
    several_processes: Literal["replicate", "shard"] = "replicate"
    """Under torchrun: every process holds the whole model (DDP), or its share of it (FSDP2)."""
    log_every_steps: int = 10
    """Steps between two lines of metrics.jsonl."""
    evaluate_every_steps: int = 200
    """Steps between two measurements of the validation loss; one is made at the end in any case."""
    evaluation_tokens: int | None = None
    """Measure on about so many tokens, spread evenly over the validation text; null for all of it."""
    checkpoint_every_steps: int = 200
    """Steps between two checkpoints; one is made at the end in any case, and at the lowest validation loss."""
    keep_last: int = 1
    """Latest checkpoints that are kept."""
    keep_best: int = 1
    """Checkpoints of lowest validation loss that are kept."""

    def __post_init__(self) -> None:
        require_at_least(
            1,
            micro_batches=self.micro_batches,
            log_every_steps=self.log_every_steps,
            evaluate_every_steps=self.evaluate_every_steps,
            evaluation_tokens=self.evaluation_tokens,
            checkpoint_every_steps=self.checkpoint_every_steps,
            keep_last=self.keep_last,
        )
        require_at_least(0, keep_best=self.keep_best, non_monotone_evaluations=self.non_monotone_evaluations)
        if self.clip_norm is not None and not self.clip_norm > 0:  # NaN fails every comparison
            raise ConfigError("clip_norm must be above 0", received=self.clip_norm, fix="give null for no limit")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError("ema_decay must be above 0 and below 1", received=self.ema_decay)


@runtime_checkable
class RunRecipe(Protocol):
    """The settings of whatever leaves a run behind; `PretrainConfig` says what they mean."""

    @property
    def output(self) -> pathlib.Path: ...

    @property
    def run(self) -> str: ...

    @property
    def resume(self) -> bool: ...

    @property
    def seed(self) -> int: ...

    @property
    def device(self) -> str: ...


@runtime_checkable
class TrainingRecipe(RunRecipe, Protocol):
    """The settings that every supervised training recipe has."""

    @property
    def optimiser(self) -> OptimiserConfig: ...

    @property
    def schedule(self) -> ScheduleConfig: ...

    @property
    def training(self) -> TrainingConfig: ...

    @property
    def steps(self) -> int | None: ...

    @property
    def minutes(self) -> float | None: ...

    @property
    def dtype(self) -> Precision: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A model and what it is trained on: all that differs between one training recipe and another."""

    model: nn.Module
    """On its device, as it was built or loaded."""
    tokenizer: Tokenizer
    source: Callable[[], BatchSource[Any]]
    """Makes this process's source of batches, from the beginning."""
    validation: Sequence[Batch]
    """This process's batches to measure on, of the same shape."""
    objective: Objective = causal
    """What is minimised: `(model, batch) -> Loss`, with `carry` also `(model, batch, state) -> Loss`."""
    carry: bool = False
    """Go on from the state at the end of the batch before (truncated back-propagation)."""
    full_rate_tokens: int | None = None
    """Length of the rows that are learned from at the schedule's rate, where rows vary in length; others scale it."""
    metadata: dict[str, Any]
    """What the saved model tells of itself."""
    generation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What its `generation_config.json` says beside the tokenizer's ids."""
    write: Callable[..., None] = write_model
    """Writes the files of the model, as `write_model` does, where it is not one network with one folder."""
    privacy: Callable[[int], Privacy] | None = None
    """Of so many steps, how private training is done, whose source gives single examples; None: it is not private."""
    factors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """By what the rates of parameters are multiplied, by their names in the model; 1 where one is not named."""
    before_step: Callable[[int], None] | None = None
    """Called before each update with the number of those before it: it may let parameters rest."""


def require_at_least(least: int, **settings: int | None) -> None:
    """Raises `ConfigError` for the first of `settings` that is given and less than `least`."""
    for name, value in settings.items():
        if value is not None and value < least:
            raise ConfigError(f"{name} must be at least {least}", received=value)


def check_request(*, run: str | None, steps: int | None, minutes: float | None, seed: int) -> None:
    """Raises `ConfigError` for what no recipe could carry out, so that it is told before any work."""
    if run is not None and (run in ("", ".", "..") or any(separator in run for separator in "/\\\0")):
        raise ConfigError(
            "the name of a run is not a plain name",
            received=repr(run),
            expected="the name of one folder, such as first-try",
            fix="give the folder above it with --output",
        )
    require_at_least(1, steps=steps)
    if minutes is not None and not 0 < minutes < math.inf:
        raise ConfigError("minutes must be a finite number above 0", received=minutes)
    if not 0 <= seed < 2**63:
        raise ConfigError("the seed is out of range", received=seed, expected="0 to 2^63 - 1")


def run_folder(recipe: RunRecipe) -> pathlib.Path:
    """Where the run lies."""
    return recipe.output / recipe.run


def require_free(recipe: RunRecipe) -> None:
    """Refuses a folder that holds another run, or none to be resumed, before any long work. Raises `StorageError`."""
    if recipe.resume != (run_folder(recipe) / "config.yaml").is_file():
        Run.start(run_folder(recipe), {}, resume=recipe.resume)


def begin(recipe: RunRecipe, here: processes.Place) -> torch.device:
    """Threads, memory and seed of this process; gives its device. All processes draw the same numbers until `train`."""
    device = own_device(recipe.device)
    threads.set_threads(threads.choose_threads(here.local_world))
    allocator.keep_freed_memory()
    seeds.seed_everything(recipe.seed)
    return device


def own_device(name: str) -> torch.device:
    """The device called `name`, this process's own where there are several GPUs."""
    device = choose_device(name)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", processes.place().local_rank)
    return device


def train(
    recipe: TrainingRecipe, job: Job, *, title: str, default_steps: int = DEFAULT_STEPS, usual_warmup_steps: int = 0
) -> Run:
    """Trains the job's model as the recipe says, from the run's last checkpoint where there is one.

    Where the schedule names no warm-up it has ``usual_warmup_steps``, and a run that is not longer a shorter one. One
    that is named is what somebody asked for, and is refused there.
    """
    steps = planned_steps(recipe, job, default_steps)
    cadence = _trainer_config(recipe, steps)
    prepare_model(job.model, recipe.training)
    device = next(job.model.parameters()).device
    seeds.seed_everything(recipe.seed + processes.place().rank)
    schedule = recipe.schedule
    if schedule.warmup_steps is None:
        warmup = usual_warmup_steps if usual_warmup_steps < steps else steps // _SHORT_WARMUP
        schedule = dataclasses.replace(schedule, warmup_steps=warmup)
    learner = _learner(recipe, job, job.model, steps, schedule=schedule)
    publish = functools.partial(job.write, tokenizer=job.tokenizer, generation=job.generation, metadata=job.metadata)
    source = job.source()
    # Last, since what is refused above must leave no run behind that stands in the way of the corrected one.
    run = Run.start(run_folder(recipe), resolved(recipe, steps, schedule), resume=recipe.resume)
    Trainer(run, learner, source, cadence, validation=job.validation, publish=publish, device=device, title=title).fit()
    _tell_divergence(run)
    return run


def _tell_divergence(run: Run) -> None:
    """Says so where a run ended in updates that were skipped, which a reader of its last loss could not guess."""
    rows = run.metrics()
    if processes.place().is_first and rows and rows[-1]["loss"] is None:
        print(
            f"at the end the loss or its gradient was not finite, and {rows[-1]['skipped']} updates were skipped: "
            "lower the learning rate",
            file=sys.stderr,
        )


def resolved(recipe: TrainingRecipe, steps: int, schedule: ScheduleConfig) -> dict[str, Any]:
    """What config.yaml says: the settings that decide what is computed, with the steps and the schedule that it has."""
    settings = configuration.to_dict(recipe) | {"steps": steps, "schedule": configuration.to_dict(schedule)}
    return {name: value for name, value in settings.items() if name not in ("output", "run", "resume")}


def planned_steps(recipe: TrainingRecipe, job: Job, default_steps: int) -> int:
    """The steps asked for, else those that fit in the minutes asked for, measured; a resumed run keeps its number."""
    if recipe.steps is not None:
        return recipe.steps
    if recipe.resume:
        recorded = Run.open(run_folder(recipe)).config.get("steps")
        if isinstance(recorded, int):
            return recorded
    if recipe.minutes is None:
        return default_steps
    return steps_within(60 * recipe.minutes, seconds_a_step(recipe, job))


def steps_within(seconds: float, seconds_each: float) -> int:
    """Whole steps that fit. Raises `ConfigError` where not even a handful does."""
    steps = int(seconds / seconds_each)
    if steps < 2:
        raise ConfigError(
            "there is no time to train",
            received=f"{seconds:.1f} s, and a step takes {seconds_each:.1f} s",
            fix="give more minutes, or a smaller model or batch",
        )
    return steps


def seconds_a_step(recipe: TrainingRecipe, job: Job, *, steps: int = 4) -> float:
    """Seconds of one update, measured on a copy of what is trained that is thrown away; the run is not changed by it.

    The median, so that a moment's disturbance does not count, over all processes' mean.
    """
    tensors, facts = seeds.capture()
    model = _copy_to_train(job.model)
    prepare_model(model, recipe.training)
    plain = dataclasses.replace(recipe.schedule, kind="constant", warmup_steps=0)
    learner = _learner(recipe, job, model, steps, schedule=plain)
    source = job.source()
    learner.step(next(source))  # memory is allocated and programs are compiled in the first
    taken = []
    for _ in range(steps):
        start = time.perf_counter()
        learner.step(next(source))
        taken.append(time.perf_counter() - start)
    seeds.restore(tensors, facts)
    median = torch.tensor([sorted(taken)[steps // 2]], dtype=torch.float64, device=next(model.parameters()).device)
    return float(processes.sum_over_processes(median)) / processes.place().world


def _copy_to_train(model: nn.Module) -> nn.Module:
    """A copy of which nothing that is trained is shared with `model`, and all that is frozen is: a base is not held
    twice to time an adapter."""
    learnt = {id(tensor) for tensor in learnt_tensors(model).values()}
    frozen = [tensor for tensor in own_tensors(model).values() if id(tensor) not in learnt]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in frozen})


def prepare_model(model: nn.Module, training: TrainingConfig) -> None:
    """Activation checkpointing, compilation and the share of each process, in the order they must come."""
    if training.activation_checkpointing:
        checkpoint_blocks(model)
    if training.compile:
        compile_blocks(model)
    if processes.place().world > 1:
        (parallel.shard if training.several_processes == "shard" else parallel.replicate)(model)


def measured_on(batches: Sequence[BatchType], training: TrainingConfig) -> list[BatchType]:
    """This process's part of the batches to measure on, of which every process holds all: as many as are wanted.

    Where there are fewer batches than processes, each measures on all of them: of a sum and a count that are both taken
    several times over the quotient is the same.
    """
    here, chosen = processes.place(), evenly(batches, training.evaluation_tokens)
    return chosen if len(chosen) < here.world else chosen[here.rank :: here.world]


def evenly(batches: Sequence[BatchType], tokens: int | None) -> list[BatchType]:
    """About `tokens` scored tokens of `batches`, taken evenly from all of them; all where None."""
    whole = sum(batch.num_tokens for batch in batches)
    if tokens is None or whole <= tokens:
        return list(batches)
    count = max(1, math.ceil(len(batches) * tokens / whole))
    return [batches[index * len(batches) // count] for index in range(count)]


def _learner(
    recipe: TrainingRecipe, job: Job, model: nn.Module, steps: int, *, schedule: ScheduleConfig
) -> SupervisedLearner:
    settings = SupervisedConfig(
        optimiser=recipe.optimiser,
        schedule=schedule,
        micro_batches=recipe.training.micro_batches,
        clip_norm=recipe.training.clip_norm,
        update_in_backward=recipe.training.update_in_backward,
        privacy=None if job.privacy is None else job.privacy(steps),
        ema_decay=recipe.training.ema_decay,
        non_monotone_evaluations=recipe.training.non_monotone_evaluations,
        full_rate_tokens=job.full_rate_tokens,
        carry=job.carry,
        precision=recipe.dtype,
    )
    # What is timed on a copy must not touch the parameters of the model itself.
    before_step = job.before_step if model is job.model else None
    return SupervisedLearner(model, job.objective, settings, steps=steps, factors=job.factors, before_step=before_step)


def _trainer_config(recipe: TrainingRecipe, steps: int) -> TrainerConfig:
    training = recipe.training
    return TrainerConfig(
        steps=steps,
        # Where only minutes were asked for they have become steps, and the schedule is to run to its end.
        minutes=recipe.minutes if recipe.steps is not None else None,
        log_every_steps=training.log_every_steps,
        evaluate_every_steps=training.evaluate_every_steps,
        checkpoint_every_steps=training.checkpoint_every_steps,
        keep_last=training.keep_last,
        keep_best=training.keep_best,
    )
