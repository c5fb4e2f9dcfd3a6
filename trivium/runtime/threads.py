"""How many threads compute: one a usable core, shared among the processes of this machine."""

import os

import torch

from trivium.runtime import machine


def choose_threads(processes: int = 1) -> int:
    """Threads for each of `processes` on this machine: OMP_NUM_THREADS where the user set it, else a fair share."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return max(1, int(machine.usable_cores()) // processes)


def set_threads(count: int) -> None:
    """Makes torch compute with `count` threads (at least 1)."""
    assert count >= 1, count
    torch.set_num_threads(count)
