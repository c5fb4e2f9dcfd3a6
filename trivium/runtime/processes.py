"""The processes of one run: rank and world size as `torchrun` sets them, the process group, and its clean end.

A run of one process needs no group: rank 0, world 1, and every function here does nothing then.
"""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist

from trivium.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Which of the run's processes this is."""

    rank: int = 0
    """0 to world - 1, over all machines."""
    world: int = 1
    """How many processes there are."""
    local_rank: int = 0
    """0 to processes on this machine - 1: the index of this process's GPU."""
    local_world: int = 1
    """How many processes share this machine."""

    @property
    def is_first(self) -> bool:
        """Rank 0: the process that writes files and speaks to the user."""
        return self.rank == 0


def place() -> Place:
    """This process's place, from the environment that `torchrun` sets; one process of one without it."""
    if "WORLD_SIZE" not in os.environ:
        return Place()
    found = Place(
        rank=_whole("RANK"),
        world=_whole("WORLD_SIZE"),
        local_rank=_whole("LOCAL_RANK", default=_whole("RANK")),
        local_world=_whole("LOCAL_WORLD_SIZE", default=_whole("WORLD_SIZE")),
    )
    if not 0 <= found.rank < found.world:
        raise UserError("RANK does not fit WORLD_SIZE", received=f"{found.rank} of {found.world}", fix="use torchrun")
    return found


@contextlib.contextmanager
def process_group(device: torch.device, *, timeout_seconds: float = 600.0) -> Iterator[Place]:
    """Joins the run's processes for the length of the block: NCCL between GPUs, gloo between CPUs.

    A process that hangs is given up after `timeout_seconds`, so that no rank waits for ever on a dead one.
    """
    here = place()
    if here.world == 1:
        yield here
        return
    if device.type == "cuda":
        torch.cuda.set_device(here.local_rank)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        rank=here.rank,
        world_size=here.world,
        timeout=datetime.timedelta(seconds=timeout_seconds),
    )
    try:
        yield here
    finally:
        dist.destroy_process_group()


def barrier() -> None:
    """Waits until every process is here."""
    if dist.is_initialized():
        dist.barrier()


def sum_over_processes(numbers: torch.Tensor) -> torch.Tensor:
    """The elementwise sum over all processes, the same on each; `numbers` is changed in place and returned."""
    if dist.is_initialized():
        dist.all_reduce(numbers, op=dist.ReduceOp.SUM)
    return numbers


def largest(number: int, device: torch.device) -> int:
    """The largest of what the processes give, the same on each."""
    if not dist.is_initialized():
        return number
    found = torch.tensor(number, dtype=torch.int64, device=device)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return int(found)


def any_process(flag: bool, device: torch.device) -> bool:
    """True on every process if `flag` is True on one: how ranks agree to stop at the same step."""
    if not dist.is_initialized():
        return flag
    count = torch.tensor(int(flag), dtype=torch.int64, device=device)
    return bool(sum_over_processes(count).item())


def _whole(name: str, default: int | None = None) -> int:
    text = os.environ.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdigit():
        raise UserError(
            f"the environment variable {name} is not a whole number",
            received="nothing" if text is None else text,
            expected="what torchrun sets",
            fix="start with: torchrun --nproc-per-node 2 -m trivium.cli.main pretrain RECIPE.yaml",
        )
    return int(text)
