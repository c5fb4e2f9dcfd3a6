"""The loop: cadence, log, checkpoints, stopping, and what is refused. Kills are in test_kill.py."""

import ast
import errno
import inspect
import math
import os
import pathlib
import signal
from typing import Any

import pytest
import torch

from tests.training.toys import NumberedSource, batch, causal_job, learner_of, tiny_gpt2
from trivium.checkpoints import folder as folders
from trivium.checkpoints.folder import verify_folder
from trivium.checkpoints.model_folder import load_model
from trivium.data.batches import CausalBatch
from trivium.data.examples import Example, ExamplesSource
from trivium.errors import CheckpointError, ConfigError, Interrupted, NonFiniteError, StorageError, TriviumError
from trivium.training import trainer as trainer_module
from trivium.training.rewards import RewardUnavailable
from trivium.training.run import METRICS, Run
from trivium.training.trainer import Trainer, TrainerConfig

PLAN = {"log_every_steps": 2, "evaluate_every_steps": 4, "checkpoint_every_steps": 4}


def start(folder: pathlib.Path, *, steps: int = 8, learner: Any = None, source: Any = None, **changes: Any) -> Trainer:
    """A trainer on a new run, or on the one that is there."""
    run = Run.start(folder, {}, resume=(folder / "config.yaml").is_file())
    options = {name: changes.pop(name) for name in ("validation", "observe", "publish") if name in changes}
    return Trainer(
        run,
        learner or learner_of(tiny_gpt2()),
        source or NumberedSource(),
        TrainerConfig(steps=steps, **(PLAN | changes)),
        **options,
    )


def test_is_short_and_knows_no_model() -> None:
    source = inspect.getsource(trainer_module)
    assert len(source.splitlines()) <= 250
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    assert not {"isinstance", "hasattr"} & names
    assert "trivium.models" not in source


def test_cadence_and_log(tmp_path: pathlib.Path) -> None:
    seen: list[int] = []
    start(tmp_path, steps=7, validation=[batch(100), batch(101)], observe=seen.append).fit()
    rows = Run.open(tmp_path).metrics()
    assert all(tuple(row) == METRICS for row in rows)
    assert [row["step"] for row in rows] == [2, 4, 6, 7]
    assert [row["validation_loss"] is not None for row in rows] == [False, True, False, True]
    assert seen == [4, 7]
    counts = [batch(number).num_tokens for number in range(7)]
    assert [row["tokens"] for row in rows] == [sum(counts[: row["step"]]) for row in rows]
    assert all(row["skipped"] == 0 and row["seconds"] > 0 and row["tokens_per_second"] > 0 for row in rows)


def test_the_logged_loss_is_the_mean_over_all_tokens_since_the_last_line(tmp_path: pathlib.Path) -> None:
    torch.manual_seed(0)
    twin = learner_of(tiny_gpt2())
    results = [twin.step(batch(number)) for number in range(2)]
    expected = sum(r["loss"] * r["tokens"] for r in results) / sum(r["tokens"] for r in results)
    torch.manual_seed(0)
    start(tmp_path, steps=2).fit()
    assert Run.open(tmp_path).metrics()[0]["loss"] == pytest.approx(expected, rel=1e-12)


class Scripted:
    """A learner whose validation losses are given."""

    def __init__(self, losses: list[float]) -> None:
        self._inner = learner_of(tiny_gpt2())
        self.heard: list[float] = []
        self.model, self._losses, self.finished = self._inner.model, losses, False
        self.step, self.heed, self.weights = self._inner.step, self.heard.append, self._inner.weights
        self.state_dict, self.load_state_dict = self._inner.state_dict, self._inner.load_state_dict

    def evaluate(self, part: CausalBatch) -> tuple[float, float]:
        return self._losses.pop(0), 1.0


def test_the_last_and_the_best_are_kept(tmp_path: pathlib.Path) -> None:
    learner = Scripted([3.0, 1.0, 2.0, 1.5, 1.2])
    settings = {"evaluate_every_steps": 2, "checkpoint_every_steps": 1, "keep_last": 2, "keep_best": 2}
    trainer = start(tmp_path, steps=10, learner=learner, validation=[batch(0)], **settings)
    trainer.fit()
    run = Run.open(tmp_path)
    assert run.saved_steps() == [4, 9, 10]
    assert (run.checkpoints / "best").resolve().name == "step-00000004"
    assert (run.checkpoints / "last").resolve().name == "step-00000010"
    load_model(run.checkpoints / "best")
    assert learner.heard == [3.0, 1.0, 2.0, 1.5, 1.2]


def test_a_new_best_is_saved_between_checkpoints(tmp_path: pathlib.Path) -> None:
    settings = {"evaluate_every_steps": 3, "checkpoint_every_steps": 100}
    start(tmp_path, steps=9, learner=Scripted([1.0, 2.0, 3.0]), validation=[batch(0)], **settings).fit()
    assert Run.open(tmp_path).saved_steps() == [3, 9]


def test_a_validation_loss_that_is_no_number_is_no_score(tmp_path: pathlib.Path) -> None:
    learner = Scripted([2.0, math.nan, math.inf])
    start(tmp_path, steps=6, learner=learner, validation=[batch(0)], evaluate_every_steps=2).fit()
    run = Run.open(tmp_path)
    assert [row["validation_loss"] for row in run.metrics()] == [2.0, None, None]
    assert (run.checkpoints / "best").resolve().name == "step-00000002"
    verify_folder(run.checkpoint(6))


def test_where_no_best_is_kept_the_last_is_what_is_used(tmp_path: pathlib.Path) -> None:
    changes = {"evaluate_every_steps": 2, "checkpoint_every_steps": 2, "keep_last": 2, "keep_best": 0}
    start(tmp_path, steps=6, learner=Scripted([2.0, 1.0, 3.0]), validation=[batch(0)], **changes).fit()
    checkpoints = Run.open(tmp_path).checkpoints
    assert not (checkpoints / "best").is_symlink()
    assert (checkpoints / "last").resolve().name == "step-00000006"


def test_a_finished_run_has_nothing_left_to_do(tmp_path: pathlib.Path) -> None:
    start(tmp_path).fit()
    before = Run.open(tmp_path).metrics()
    start(tmp_path).fit()
    assert Run.open(tmp_path).metrics() == before


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("first", [2, 3, 5])
def test_resumed_in_any_epoch_the_next_batches_are_the_same(
    accumulation: int, first: int, tmp_path: pathlib.Path
) -> None:
    """9 examples in batches of 3 packed rows: mid-epoch, exact boundary, and windows that 3 parts do not divide."""
    examples = [Example.of([1, 2 + n], [3 + n] * 8, end_id=0) for n in range(9)]

    class Recording(ExamplesSource):
        def __next__(self) -> CausalBatch:
            given = super().__next__()
            batches.append(given.tokens)
            return given

    def source() -> Recording:
        return Recording(examples, vocabulary_size=32, context_tokens=12, rows=4, seed=3)

    logs, streams = [], []
    for stops in ([9], [first, 9]):
        batches: list[torch.Tensor] = []
        folder = tmp_path / str(len(stops))
        for steps in stops:
            torch.manual_seed(0)
            learner = learner_of(tiny_gpt2(), micro_batches=accumulation)
            start(folder, steps=steps, learner=learner, source=source(), log_every_steps=1).fit()
        logs.append([(row["step"], row["loss"]) for row in Run.open(folder).metrics()])
        streams.append(batches)
    assert logs[0] == logs[1]
    assert len(streams[0]) == 9
    assert all(torch.equal(a, b) for a, b in zip(*streams, strict=True))


def test_a_budget_in_minutes_ends_the_run_with_a_checkpoint(tmp_path: pathlib.Path) -> None:
    start(tmp_path, steps=10**6, minutes=1e-6).fit()
    run = Run.open(tmp_path)
    assert run.saved_steps() == [1]
    assert [row["step"] for row in run.metrics()] == [1]


def test_data_that_end_are_a_failure(tmp_path: pathlib.Path) -> None:
    class Ending(NumberedSource):
        def __next__(self) -> CausalBatch:
            if self.number == 3:
                raise StopIteration
            return super().__next__()

    with pytest.raises(TriviumError, match="the data ended after 3 of 8 steps"):
        start(tmp_path, source=Ending()).fit()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_this_step_and_says_how_to_go_on(number: int, tmp_path: pathlib.Path) -> None:
    class Signalling(NumberedSource):
        def __next__(self) -> CausalBatch:
            if self.number == 2:
                os.kill(os.getpid(), number)
            return super().__next__()

    with pytest.raises(Interrupted, match="--resume") as error:
        start(tmp_path, source=Signalling()).fit()
    assert error.value.exit_code == 128 + number
    assert Run.open(tmp_path).saved_steps() == [3]
    assert signal.getsignal(number) is not None
    start(tmp_path).fit()
    assert Run.open(tmp_path).saved_steps() == [8]


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path, steps=4).fit()
    files = [path for path in (tmp_path / "checkpoints" / "last").rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    write = folders._write
    for limit in range(0, total - total // 20, total // 10):  # another step takes some bytes more or less
        left = limit

        def limited(file: Any, data: memoryview) -> None:
            nonlocal left
            if file.name.endswith("metrics.jsonl.partial"):
                write(file, data)
                return
            if len(data) > left:
                raise OSError(errno.ENOSPC, "No space left on device")
            left -= len(data)
            write(file, data)

        monkeypatch.setattr(folders, "_write", limited)
        with pytest.raises(StorageError, match="No space left"):
            start(tmp_path, steps=8).fit()
        monkeypatch.setattr(folders, "_write", write)
        assert Run.open(tmp_path).saved_steps() == [4]
        verify_folder(tmp_path / "checkpoints" / "last")
    start(tmp_path, steps=8).fit()
    assert Run.open(tmp_path).saved_steps() == [8]


def test_a_damaged_checkpoint_is_not_resumed(tmp_path: pathlib.Path) -> None:
    start(tmp_path, steps=4).fit()
    path = tmp_path / "checkpoints" / "step-00000004" / "resume" / "learner.safetensors"
    altered = bytearray(path.read_bytes())
    altered[len(altered) // 2] ^= 4
    path.write_bytes(altered)
    with pytest.raises(CheckpointError, match=r"resume/learner\.safetensors: the content has changed"):
        start(tmp_path, steps=8).fit()


def test_skips_are_counted_and_a_poisoned_run_saves_nothing(tmp_path: pathlib.Path) -> None:
    class Poisoned(NumberedSource):
        def __next__(self) -> CausalBatch:
            given = super().__next__()
            if self.number in (3, 4) or self.number > 8:
                return CausalBatch(given.tokens, given.targets, torch.zeros_like(given.mask), given.lengths)
            return given

    learner = learner_of(tiny_gpt2(), skips_in_a_row=2)
    with pytest.raises(NonFiniteError):
        start(tmp_path, steps=100, learner=learner, source=Poisoned()).fit()
    run = Run.open(tmp_path)
    assert [(row["step"], row["skipped"]) for row in run.metrics()] == [(2, 0), (4, 2), (6, 2), (8, 2), (10, 4)]
    assert run.metrics()[1]["loss"] is None
    assert all(torch.isfinite(tensor).all() for tensor in load_model(run.checkpoints / "last").state_dict().values())


def test_random_numbers_of_an_observer_do_not_change_the_run(tmp_path: pathlib.Path) -> None:
    for name, observe in (("a", None), ("b", lambda step: torch.rand(100))):
        torch.manual_seed(0)
        learner, source, validation = causal_job()
        start(tmp_path / name, learner=learner, source=source, validation=validation, observe=observe).fit()
    logs = [[row["loss"] for row in Run.open(tmp_path / name).metrics()] for name in "ab"]
    assert logs[0] == logs[1]


def test_validation_must_be_a_list() -> None:
    with pytest.raises(AssertionError, match="give a list"):
        Trainer(Run("nowhere"), learner_of(tiny_gpt2()), NumberedSource(), TrainerConfig(), validation=iter([]))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"keep_last": 0}, {"keep_best": -1}, {"minutes": 0.0}])
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainerConfig(**wrong)


def test_a_learner_that_is_finished_is_saved_and_goes_no_further(tmp_path: pathlib.Path) -> None:
    learner = Scripted([3.0, 2.0, 1.0])

    def enough(validation_loss: float) -> None:
        learner.heard.append(validation_loss)
        learner.finished = len(learner.heard) == 2

    learner.heed = enough
    settings = {"evaluate_every_steps": 2, "checkpoint_every_steps": 100, "keep_best": 0}
    start(tmp_path, steps=6, learner=learner, validation=[batch(0)], **settings).fit()
    run = Run.open(tmp_path)
    assert run.metrics()[-1]["step"] == 4 and run.saved_steps() == [4], learner.heard


def test_where_a_reward_cannot_be_reached_all_is_saved(tmp_path: pathlib.Path) -> None:
    class Away(NumberedSource):
        def __next__(self) -> CausalBatch:
            if self.number == 3:
                raise RewardUnavailable("the reward could not be reached")
            return super().__next__()

    trainer = start(tmp_path, steps=6, source=Away(), checkpoint_every_steps=100)
    with pytest.raises(RewardUnavailable, match=r"(?s)could not be reached.*stopped after step 3 of 6.*--resume"):
        trainer.fit()
    assert Run.open(tmp_path).saved_steps() == [3]
