"""Stops a training run at chosen points, dead or politely, lets another process go on, and compares with a run that
was never stopped. For any learner: `assert_survives_kills(job, tmp_path)`.

Torch is imported once; every attempt is a forked child. Points are counted, never timed: in the middle of each write,
before each fsync, before and after each rename, at each update, at each validation batch and at each log line.
SIGKILL keeps the page cache, so this does not prove anything about power loss.
"""

import json
import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load

from tests.forked import in_child
from trivium.checkpoints import folder as folders
from trivium.checkpoints.model_folder import load_model
from trivium.checkpoints.resume import read_resume
from trivium.checkpoints.retention import saved_steps
from trivium.runtime import atomic, seeds
from trivium.training.run import Run
from trivium.training.trainer import Trainer, TrainerConfig

Job = Callable[[], tuple[Any, Any, list[Any]]]
"""Makes a learner, a source and validation batches, from the seed in force."""

PLAN = TrainerConfig(
    steps=6, log_every_steps=3, evaluate_every_steps=4, checkpoint_every_steps=2, keep_last=2, keep_best=1
)
_CONFIGURATION = {"plan": "kill"}


def assert_survives_kills(job: Job, tmp_path: pathlib.Path, kills: int = 50) -> None:
    """`kills` runs are killed with SIGKILL at points spread over the whole run."""
    _assert_survives(job, tmp_path, kills, signal.SIGKILL, -signal.SIGKILL)


def assert_survives_stops(job: Job, tmp_path: pathlib.Path, stops: int = 20) -> None:
    """`stops` runs get SIGTERM at points spread over the whole run: each must save, and end with 143."""
    _assert_survives(job, tmp_path, stops, signal.SIGTERM, 128 + signal.SIGTERM)


def _assert_survives(job: Job, tmp_path: pathlib.Path, times: int, number: int, status: int) -> None:
    whole, counted = tmp_path / "whole", tmp_path / "points"
    _warm(job)
    assert in_child(lambda: train(whole, job, Injection(None, counted)), tmp_path) == 0
    points = int(counted.read_text())
    assert points >= times, f"{points} points are fewer than {times}"
    expected = outcome(whole)
    for index in range(times):
        point = 1 + index * points // times
        stopped = tmp_path / f"stopped-{point}"
        found = in_child(lambda: train(stopped, job, Injection(point, counted, number)), tmp_path)  # noqa: B023
        assert found == status, f"point {point}: ended with {found}"
        assert_loadable(stopped)
        assert in_child(lambda: train(stopped, job, None), tmp_path) == 0  # noqa: B023
        assert_same(outcome(stopped), expected, point)
        # One that stopped politely has saved where it stood, and may keep that checkpoint beside the regular ones.
        if number == signal.SIGKILL:
            assert checkpoints(stopped) == checkpoints(whole), f"point {point}"


def _warm(job: Job) -> None:
    """Has torch import here, once, what it otherwise imports at its first optimiser in every child."""
    learner, source, _ = job()
    learner.step(next(source))


class Injection:
    """Counts the points that a run passes and sends itself a signal at one of them."""

    def __init__(self, point: int | None, counted: pathlib.Path, number: int = signal.SIGKILL) -> None:
        self.point, self.counted, self.number = point, counted, number
        self.passed = 0

    def reach(self) -> None:
        self.passed += 1
        if self.passed == self.point:
            os.kill(os.getpid(), self.number)

    def install(self, learner: Any) -> None:
        write, rename = folders._write, atomic.rename
        log, step, evaluate = Run.log, learner.step, learner.evaluate

        def half_write(file: Any, data: memoryview) -> None:
            write(file, data[: len(data) // 2])
            self.reach()
            write(file, data[len(data) // 2 :])

        def around(function: Callable) -> Callable:
            def call(*arguments: Any) -> Any:
                self.reach()
                result = function(*arguments)
                self.reach()
                return result

            return call

        folders._write, atomic.sync, atomic.rename = half_write, around(_no_sync), around(rename)
        Run.log = around(log)
        learner.step, learner.evaluate = around(step), around(evaluate)


def train(folder: pathlib.Path, job: Job, injection: Injection | None) -> None:
    """Starts the run, or goes on with it; called in a child only."""
    # A process that goes on has drawn other numbers: what it computes must come from the checkpoint alone.
    seeds.seed_everything(0 if not saved_steps(folder / "checkpoints") else 12345)
    learner, source, validation = job()
    run = Run.start(folder, _CONFIGURATION, resume=(folder / "config.yaml").is_file())
    atomic.sync = _no_sync
    if injection is not None:  # from here on: before, there is nothing to save, and Python's own handlers are in force
        injection.install(learner)
    Trainer(run, learner, source, PLAN, validation=validation).fit()
    if injection is not None:
        injection.counted.write_text(str(injection.passed))


def _no_sync(descriptor: int) -> None:
    """A killed process loses nothing that it wrote: waiting for the disk would only take time."""


def assert_loadable(folder: pathlib.Path) -> None:
    """Every checkpoint that is in place can be loaded, as a model and as a run, and so can what the links lead to."""
    parent = folder / "checkpoints"
    links = [parent / name for name in ("best", "last") if (parent / name).is_symlink()]
    for path in [*parent.glob("step-*"), *links]:
        load_model(path)
        read_resume(path)


def outcome(folder: pathlib.Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor], dict[str, Any]]:
    """The log without its times, all tensors and the state of the last checkpoint."""
    timed = ("seconds", "tokens_per_second")
    rows = [{name: value for name, value in row.items() if name not in timed} for row in Run.open(folder).metrics()]
    assert [row["step"] for row in rows][-1] == PLAN.steps
    last = folder / "checkpoints" / "last"
    tensors, state = read_resume(last)
    tensors |= {f"published/{name}": tensor for name, tensor in load_model(last).state_dict().items()}
    generators = load(tensors.pop("generators/0").numpy().tobytes())
    facts = json.loads(generators.pop("facts").numpy().tobytes())
    facts.pop("python")  # the type checker of the tests draws from it
    tensors |= generators
    state = {**state, "facts": facts}
    state["progress"].pop("seconds")
    return rows, tensors, state


def checkpoints(folder: pathlib.Path) -> list[str]:
    """What stands among the checkpoints: no leftovers, no more than is to be kept."""
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def assert_same(found: Any, expected: Any, point: int) -> None:
    """Bit for bit."""
    assert found[0] == expected[0], f"point {point}: the logs differ"
    assert found[1].keys() == expected[1].keys(), point
    differing = [name for name in found[1] if not torch.equal(found[1][name], expected[1][name])]
    assert not differing, f"point {point}: {differing}"
    wrong = [name for name in expected[2] if found[2].get(name) != expected[2][name]]
    assert not wrong, f"point {point}: {wrong} differ"
