"""The one training loop: it owns time and knows no model, no loss and no batch.

    run = Run.start("runs/small", to_dict(config))
    learner = SupervisedLearner(model, causal, config.learner, steps=config.trainer.steps)
    Trainer(run, learner, source, config.trainer, validation=batches).fit()

Killed at any instant, a run loses at most the steps since its last checkpoint; resumed, it is bit for bit the run that
was never stopped (same machine, threads, dtype and versions).
"""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from trivium.checkpoints.model_folder import write_model
from trivium.checkpoints.retention import point_to, prune
from trivium.data.resumable import BatchSource
from trivium.errors import ConfigError, Interrupted, TriviumError
from trivium.runtime import processes, progress, seeds
from trivium.runtime.signals import StopRequest, stop_on_signal
from trivium.training.learners.protocol import Learner
from trivium.training.rewards import RewardUnavailable
from trivium.training.run import Run
from trivium.training.snapshot import Publish, load_snapshot, save_snapshot
from trivium.training.standing import Standing


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How long to train, and how often to look and save."""

    steps: int | None = 1000
    """Updates to do in all; null for as many as fit in `minutes`."""
    minutes: float | None = None
    """Minutes of work after which to stop even if steps are left, earlier parts of the run included; null for none."""
    log_every_steps: int = 10
    """Updates between two lines of metrics.jsonl."""
    evaluate_every_steps: int = 200
    """Updates between two measurements of the validation loss; one is made at the end in any case."""
    checkpoint_every_steps: int = 200
    """Updates between two checkpoints; one is made at the end too, and whenever the validation loss is lowest."""
    keep_last: int = 1
    """Latest checkpoints that are kept."""
    keep_best: int = 1
    """Checkpoints of lowest validation loss that are kept."""

    def __post_init__(self) -> None:
        for name in ("steps", "log_every_steps", "evaluate_every_steps", "checkpoint_every_steps", "keep_last"):
            given = getattr(self, name)
            if given is not None and given < 1:
                raise ConfigError(f"{name} must be at least 1", received=given)
        if self.steps is None and self.minutes is None:
            raise ConfigError("nothing says when training ends", received="neither steps nor minutes")
        if self.keep_best < 0:
            raise ConfigError("keep_best must not be negative", received=self.keep_best)
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError("minutes must be above 0", received=self.minutes)


class Trainer:
    """Trains `learner` on `source` until the run is done, interrupted or broken."""

    def __init__(
        self,
        run: Run,
        learner: Learner,
        source: BatchSource,
        config: TrainerConfig,
        *,
        validation: Iterable[Any] = (),
        publish: Publish = write_model,
        observe: Callable[[int], None] | None = None,
        device: torch.device | str = "cpu",
        title: str = "training",
    ) -> None:
        """`validation` holds this process's batches and is gone through at every evaluation.

        `publish` writes the model's files into a checkpoint: `functools.partial(write_model, tokenizer=...)`.
        `observe(step)` is called after every evaluation on the first process (to write samples, say); random numbers
        that it draws do not change the run.
        """
        assert iter(validation) is not validation, "validation is gone through many times: give a list"
        self._run, self._learner, self._source, self._config = run, learner, source, config
        self._validation, self._publish, self._observe = validation, publish, observe
        self._device, self._title = torch.device(device), title
        self._standing = Standing()
        self._saved_step: int | None = None
        self._began = 0.0

    def fit(self) -> None:
        """Trains from the run's last checkpoint, or from the start where it has none.

        Raises `Interrupted` after SIGINT or SIGTERM, once the present step is saved; `NonFiniteError`, `StorageError`
        and `CheckpointError` leave the last checkpoint intact.
        """
        silent = not processes.place().is_first
        steps = None if self._config.steps is None else float(self._config.steps)
        with stop_on_signal() as stop, progress.bar(self._title, steps, silent=silent) as bar:
            self._go_on_from_last()
            bar.start_from(float(self._standing.step))
            try:
                self._loop(stop, bar)
            except RewardUnavailable as error:  # in an update or in an evaluation, which the resumed run does again
                raise RewardUnavailable(f"{error}\n{self._saved_now()}") from error

    def _go_on_from_last(self) -> None:
        saved = self._run.saved_steps()
        if saved:
            self._standing = Standing(**load_snapshot(self._run.checkpoint(saved[-1]), self._learner, self._source))
            self._saved_step = saved[-1]
        self._run.forget_after(self._standing.logged_step)
        self._began = time.monotonic() - self._standing.seconds

    def _loop(self, stop: StopRequest, bar: progress.Bar) -> None:
        while True:
            finished = self._finished()
            if not self._standing.settled:
                self._settle(stop, finished)
            if self._agreed(bool(stop)):
                self._interrupt(stop)
            if finished or self._learner.finished:  # it may just have heard that it is
                break
            self._update(bar)

    def _update(self, bar: progress.Bar) -> None:
        start = time.monotonic()
        try:
            batch = next(self._source)
        except StopIteration:
            raise TriviumError(
                f"the data ended after {self._done()} steps; a source of batches goes on for ever"
            ) from None
        metrics = self._learner.step(batch)
        now = time.monotonic()
        self._standing.add(metrics, now - start)
        self._standing.seconds = now - self._began
        bar.advance(1.0, f"loss {metrics['loss']:.3f}")

    def _finished(self) -> bool:
        steps, minutes = self._config.steps, self._config.minutes
        if (steps is not None and self._standing.step >= steps) or self._learner.finished:
            return True
        return minutes is not None and self._agreed(self._standing.seconds >= 60 * minutes)

    def _settle(self, stop: StopRequest, finished: bool) -> None:
        """Evaluates, logs and saves where they are due; leaves all three for the resumed run if a signal comes."""
        config, now = self._config, self._standing

        def due(every: int) -> bool:
            return finished or now.step % every == 0

        validation_loss, is_best = None, False
        if due(config.evaluate_every_steps):
            with _same_generators():
                validation_loss = self._evaluate(stop)
            if self._agreed(bool(stop)):
                return
        if validation_loss is not None:
            self._learner.heed(validation_loss)
            finished = finished or self._learner.finished
        # A score that is no number would be neither the best nor something that JSON can hold.
        if validation_loss is not None and math.isfinite(validation_loss):
            is_best = config.keep_best > 0 and validation_loss < min(now.scores.values(), default=math.inf)
            now.scores[str(now.step)] = validation_loss
        if due(config.log_every_steps) or validation_loss is not None:
            self._run.log(now.line(validation_loss))
        now.settled = True
        if due(config.checkpoint_every_steps) or is_best:
            self._save()

    def _evaluate(self, stop: StopRequest) -> float | None:
        """Mean loss over the validation batches of all processes; None without any, or when a signal came."""
        sums = torch.zeros(2, dtype=torch.float64)
        own = list(self._validation)
        for number in range(processes.largest(len(own), self._device)):
            if self._agreed(bool(stop)):
                return None
            # A process that is done goes through a batch again, uncounted: a sharded model computes with all or none.
            found = self._learner.evaluate(own[number % len(own)])
            if number < len(own):
                sums += torch.tensor(found, dtype=torch.float64)
        total, count = processes.sum_over_processes(sums.to(self._device)).tolist()
        if self._observe is not None and processes.place().is_first:
            self._observe(self._standing.step)
        return total / count if count else None

    def _save(self) -> None:
        now = self._standing
        now.seconds = time.monotonic() - self._began
        self._run.flush()
        save_snapshot(
            self._run.checkpoint(now.step),
            self._learner,
            self._source,
            dataclasses.asdict(now),
            publish=self._publish,
            device=self._device,
        )
        self._saved_step = now.step
        if processes.place().is_first:
            folder = self._run.checkpoints
            scores = {int(step): loss for step, loss in now.scores.items()}
            point_to(folder / "last", now.step)
            kept = [step for step in self._run.saved_steps() if step in scores]
            if kept and self._config.keep_best:
                point_to(folder / "best", min(kept, key=lambda step: (scores[step], step)))
            prune(folder, scores, last=self._config.keep_last, best=self._config.keep_best)

    def _interrupt(self, stop: StopRequest) -> None:
        raise Interrupted(self._saved_now(), signal_number=stop.signal_number or signal.SIGTERM)

    def _saved_now(self) -> str:
        """Saves where it stands and says how to go on."""
        if self._saved_step != self._standing.step:
            self._save()
        return (
            f"stopped after step {self._done()}, which is saved in "
            f"{self._run.checkpoint(self._standing.step)}; go on with the same command and --resume"
        )

    def _done(self) -> str:
        return f"{self._standing.step}" + ("" if self._config.steps is None else f" of {self._config.steps}")

    def _agreed(self, flag: bool) -> bool:
        """True on every process if it is on one: they must all do the same next."""
        return processes.any_process(flag, self._device)


@contextlib.contextmanager
def _same_generators() -> Iterator[None]:
    """Random numbers drawn in the block are not missed after it."""
    tensors, facts = seeds.capture()
    try:
        yield
    finally:
        seeds.restore(tensors, facts)
