"""Reading the machine: what is installed, what a container allows, and a quick measurement."""

import pytest

from trivium.runtime import machine, threads

CPUINFO = "processor : 0\nmodel name : Test CPU\nflags : fpu avx2 avx512f amx_bf16 sse\n\nprocessor : 1\nflags : fpu\n"
MEMINFO = "MemTotal:       8388608 kB\nMemFree:  1 kB\nMemAvailable:   4194304 kB\n"


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """A machine of 8 GiB and 4 cores, with these cgroup files."""

    def make(**cgroup: str) -> None:
        (tmp_path / "cpuinfo").write_text(CPUINFO)
        (tmp_path / "meminfo").write_text(MEMINFO)
        for name, text in cgroup.items():
            (tmp_path / name.replace("_", ".")).write_text(text)
        monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
        monkeypatch.setattr(machine, "_CGROUP", tmp_path)
        monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
        machine.describe.cache_clear()
        machine.instruction_sets.cache_clear()

    yield make
    machine.describe.cache_clear()
    machine.instruction_sets.cache_clear()


def test_a_machine_without_limits(pretend):
    pretend(cpu_max="max 100000\n", memory_max="max\n")
    here = machine.describe()
    assert (here.processor, here.cores) == ("Test CPU", 4.0)
    assert (here.memory_gib, here.available_gib) == (8.0, 4.0)
    assert here.instruction_sets == ("avx2", "avx512f", "amx_bf16")


def test_a_container_limits_cores_and_memory(pretend):
    pretend(cpu_max="150000 100000\n", memory_max=str(2**31), memory_current=str(2**30))
    here = machine.describe()
    assert here.cores == 1.5
    assert (here.memory_gib, here.available_gib) == (2.0, 1.0)


def test_a_limit_above_the_machine_is_no_limit(pretend):
    pretend(cpu_max="900000 100000\n", memory_max=str(2**40), memory_current="0")
    here = machine.describe()
    assert (here.cores, here.memory_gib) == (4.0, 8.0)


def test_where_nothing_can_be_read_nothing_is_guessed(pretend, monkeypatch, tmp_path):
    pretend()
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "absent")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "absent")
    machine.describe.cache_clear()
    machine.instruction_sets.cache_clear()
    here = machine.describe()
    assert here.memory_gib is None
    assert here.available_gib is None
    assert here.instruction_sets == ()


def test_a_measurement_is_made_of_real_numbers():
    speed = machine.measure(seconds=0.03)
    assert speed.threads == 1
    assert speed.float32_gflops > 0.1
    assert speed.bandwidth_gb > 0.1
    assert speed.bfloat16_gflops is None or speed.bfloat16_gflops > 0


def test_threads_are_a_fair_share_of_the_cores(pretend, monkeypatch):
    pretend()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads.choose_threads() == 4
    assert threads.choose_threads(processes=2) == 2
    assert threads.choose_threads(processes=9) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.choose_threads(processes=2) == 3
