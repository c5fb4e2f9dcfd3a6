"""Rank and world from the environment, and a group that two processes join and leave."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from trivium.errors import UserError
from trivium.runtime import processes

CPU = torch.device("cpu")
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@pytest.fixture
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return lambda **values: [monkeypatch.setenv(name, value) for name, value in values.items()]


def test_without_torchrun_there_is_one_process(environment):
    assert processes.place() == processes.Place(rank=0, world=1)
    with processes.process_group(CPU) as here:
        assert here.is_first
        processes.barrier()
        assert processes.any_process(True, CPU)
        assert not processes.any_process(False, CPU)
        assert processes.sum_over_processes(torch.tensor([2.0])).item() == 2.0


def test_what_torchrun_sets_is_read(environment):
    environment(RANK="3", WORLD_SIZE="4", LOCAL_RANK="1", LOCAL_WORLD_SIZE="2")
    assert processes.place() == processes.Place(rank=3, world=4, local_rank=1, local_world=2)
    assert not processes.place().is_first


@pytest.mark.parametrize("rank", ["4", "x", ""])
def test_a_rank_that_does_not_fit_is_refused(environment, rank):
    environment(RANK=rank, WORLD_SIZE="4")
    with pytest.raises(UserError, match="RANK"):
        processes.place()


WORKER = """
import torch
from trivium.runtime import processes
torch.set_num_threads(1)
with processes.process_group(torch.device("cpu"), timeout_seconds=60) as here:
    processes.barrier()
    total = processes.sum_over_processes(torch.tensor([here.rank + 1.0]))
    stop = processes.any_process(here.rank == 1, torch.device("cpu"))
    print(int(total.item()), stop, torch.distributed.is_initialized())
print(torch.distributed.is_initialized())
"""


def test_two_processes_agree_and_leave_cleanly():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER], env={**shared, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    said = [worker.communicate(timeout=120)[0] for worker in workers]
    assert said == ["3 True True\nFalse\n"] * 2
    assert [worker.returncode for worker in workers] == [0, 0]
