"""Two processes over gloo, replicated or sharded, compute what one does at the same global batch (float64, 1e-10)."""

import os
import pathlib
import socket
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.training.kill import in_child
from tests.training.toys import NumberedSource, batch, carried_job, causal_job, learner_of, tiny_gpt2
from trivium.checkpoints import folder as folders
from trivium.checkpoints.model_folder import load_model
from trivium.checkpoints.resume import read_resume
from trivium.checkpoints.tensors import TensorFile, write_tensor_dict
from trivium.errors import StorageError, TriviumError, Unsupported
from trivium.recipes.training import TrainingConfig, measured_on
from trivium.runtime import atomic
from trivium.runtime.processes import Place, process_group, sum_over_processes
from trivium.training import parallel
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.gradients import reduce_gradients
from trivium.training.learners.supervised import SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.trainer import Trainer, TrainerConfig

CPU = torch.device("cpu")
MODES = ["replicated", "sharded"]


def in_processes(world: int, work: Callable[[Place], None], tmp_path: pathlib.Path) -> None:
    """Runs `work` in `world` forked processes, joined in a group; they must all end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def member(rank: int) -> None:
        numbers = {"RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
        os.environ.update({name: str(number) for name, number in numbers.items()} | {"MASTER_ADDR": "127.0.0.1"})
        with process_group(CPU, timeout_seconds=60.0) as here:
            work(here)

    def start(rank: int) -> int:
        folder = tmp_path / f"rank-{rank}"
        folder.mkdir(exist_ok=True)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = in_child(lambda: member(rank), folder)
            except AssertionError as error:
                os.write(2, str(error).encode())
            finally:
                os._exit(code)
        return child

    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in [start(rank) for rank in range(world)]]
    assert codes == [0] * world


def made(mode: str, **settings: Any) -> SupervisedLearner:
    """Both optimisers, accumulation, clipping, an average; tied weights; blocks recomputed where they are sharded."""
    torch.manual_seed(0)
    model = tiny_gpt2().double()
    if mode == "replicated":
        parallel.replicate(model)
    elif mode == "sharded":
        checkpoint_blocks(model)
        parallel.shard(model)
    settings = {"micro_batches": 2, "clip_norm": 0.5, "ema_decay": 0.9, **settings}
    return learner_of(model, optimiser=OptimiserConfig(kind="muon"), **settings)


def steps_of(learner: SupervisedLearner, here: Place, out: pathlib.Path) -> None:
    numbers = []
    source = NumberedSource(rank=here.rank, world=here.world)
    for step in range(4):
        result = learner.step(next(source))
        numbers += [result["loss"], result["tokens"], result["gradient_norm"]]
        sums = torch.tensor(learner.evaluate(batch(50 + step).split(here.world)[here.rank]), dtype=torch.float64)
        numbers += sum_over_processes(sums).tolist()
    tensors, _ = learner.state_dict()
    weights = learner.weights()
    if here.is_first:
        named = {f"state/{name}": tensor for name, tensor in tensors.items()}
        named |= {f"weights/{name}": tensor for name, tensor in weights.items()}
        with folders.new_folder(out) as writer:
            write_tensor_dict(writer, "all", named | {"numbers": torch.tensor(numbers, dtype=torch.float64)})


@pytest.mark.parametrize("mode", MODES)
def test_two_processes_are_one(mode: str, tmp_path: pathlib.Path) -> None:
    steps_of(made("single"), Place(), tmp_path / "one")
    in_processes(2, lambda here: steps_of(made(mode), here, tmp_path / "two"), tmp_path)
    one, two = (TensorFile(tmp_path / name / "all").read_all() for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, expected in one.items():
        assert two[name].dtype == expected.dtype, name
        assert (two[name] - expected).abs().max() < 1e-10, name


def fit(folder: pathlib.Path, mode: str, steps: int, here: Place) -> None:
    learner = made(mode)
    run = Run.start(folder, {}, resume=(folder / "config.yaml").is_file())
    source = NumberedSource(rank=here.rank, world=here.world)
    validation = [batch(90).split(here.world)[here.rank]]
    plan = TrainerConfig(steps=steps, log_every_steps=1, evaluate_every_steps=2, checkpoint_every_steps=100)
    Trainer(run, learner, source, plan, validation=validation).fit()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("worlds", [(2, 1), (1, 2)])
def test_goes_on_with_another_number_of_processes(mode: str, worlds: tuple[int, int], tmp_path: pathlib.Path) -> None:
    fit(tmp_path / "whole", "single", 5, Place())
    for world, steps in zip(worlds, (2, 5), strict=True):
        if world == 1:
            fit(tmp_path / "changed", "single", steps, Place())
        else:
            in_processes(2, lambda here, n=steps: fit(tmp_path / "changed", mode, n, here), tmp_path)
    logs = [Run.open(tmp_path / name).metrics() for name in ("whole", "changed")]
    assert [row["step"] for row in logs[0]] == [row["step"] for row in logs[1]]
    for one, other in zip(*logs, strict=True):
        for name in ("tokens", "loss", "validation_loss", "gradient_norm", "learning_rate"):
            assert one[name] == pytest.approx(other[name], abs=1e-10), (one, other)
    models = [load_model(tmp_path / name / "checkpoints" / "last", dtype=None) for name in ("whole", "changed")]
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert one.dtype == torch.float64
        assert (one - other).abs().max() < 1e-10


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 3])
def test_measures_on_batches_that_do_not_divide_by_the_processes(mode: str, count: int, tmp_path: pathlib.Path) -> None:
    """None waits for the others for ever, and none is counted twice over the others."""

    def fit_on(folder: pathlib.Path, mode: str) -> None:
        batches = measured_on([batch(90 + number) for number in range(count)], TrainingConfig())
        plan = TrainerConfig(steps=1, log_every_steps=1, evaluate_every_steps=1)
        Trainer(Run.start(folder, {}), made(mode), NumberedSource(), plan, validation=batches).fit()

    fit_on(tmp_path / "alone", "single")
    in_processes(2, lambda _: fit_on(tmp_path / "shared", mode), tmp_path)
    alone, shared = (Run.open(tmp_path / name).metrics()[-1]["validation_loss"] for name in ("alone", "shared"))
    assert shared == pytest.approx(alone, abs=1e-10)


def test_each_process_has_its_own_generators_and_carries_its_own_rows(tmp_path: pathlib.Path) -> None:
    """Dropout on, state carried: stopped after two steps and resumed, two processes go on bit for bit."""

    def run(folder: pathlib.Path, steps: int, here: Place) -> None:
        torch.manual_seed(here.rank)
        learner, source, _ = carried_job()
        parallel.replicate(learner.model)
        source._rank, source._world = here.rank, here.world
        plan = TrainerConfig(steps=steps, log_every_steps=1)
        run = Run.start(folder, {}, resume=(folder / "config.yaml").is_file())
        Trainer(run, learner, source, plan).fit()

    in_processes(2, lambda here: run(tmp_path / "b", 4, here), tmp_path)
    in_processes(2, lambda here: run(tmp_path / "a", 6, here), tmp_path)
    in_processes(2, lambda here: run(tmp_path / "b", 6, here), tmp_path)
    states = [read_resume(tmp_path / name / "checkpoints" / "last")[0] for name in "ab"]
    assert {"generators/0", "generators/1"} <= states[0].keys()
    carried = states[0]["learner/carried/0"]
    assert carried.shape[0] == 4
    assert not torch.equal(carried[:2], carried[2:])
    for name, tensor in states[0].items():
        assert name.startswith("generators/") or torch.equal(tensor, states[1][name]), name


def test_a_parameter_that_one_process_did_not_use(tmp_path: pathlib.Path) -> None:
    def work(here: Place) -> None:
        parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
        parameters[0].grad = torch.full((2,), float(here.rank + 1))
        if here.rank == 1:
            parameters[1].grad = torch.full((2,), 5.0)
        reduce_gradients(parameters)
        assert torch.equal(parameters[0].grad, torch.full((2,), 3.0))
        assert torch.equal(parameters[1].grad, torch.full((2,), 5.0))
        assert parameters[2].grad is None

    in_processes(2, work, tmp_path)


def test_bytes_of_unequal_length_are_gathered(tmp_path: pathlib.Path) -> None:
    def work(here: Place) -> None:
        assert parallel.gather_bytes(b"abc"[: here.rank + 1], CPU) == [b"a", b"ab"]

    in_processes(2, work, tmp_path)


def test_when_the_first_process_cannot_save_all_end(tmp_path: pathlib.Path) -> None:
    def work(here: Place) -> None:
        if here.is_first:
            atomic.sync = _full_disk
        learner, source, _ = causal_job()
        run = Run(tmp_path / "run")
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        run.forget_after = lambda step: None  # type: ignore[method-assign]
        with pytest.raises(TriviumError) as error:
            Trainer(run, learner, source, TrainerConfig(steps=1)).fit()
        assert isinstance(error.value, StorageError) == here.is_first

    in_processes(2, work, tmp_path)


def _full_disk(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_one_process_has_nothing_to_shard() -> None:
    with pytest.raises(Unsupported, match="torchrun"):
        parallel.shard(tiny_gpt2())
