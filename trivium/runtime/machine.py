"""What this machine is and what it can do: cores, instruction sets, memory, limits, and its measured speed.

Linux is read from /proc and the cgroup files; elsewhere what cannot be known is None, never a guess.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import platform
import time

import torch

_CGROUP = pathlib.Path("/sys/fs/cgroup")
_CPUINFO = pathlib.Path("/proc/cpuinfo")
_MEMINFO = pathlib.Path("/proc/meminfo")
# The instruction sets that decide how fast a matrix product is, and in which number format.
_RELEVANT_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "bf16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu:
    """One accelerator."""

    name: str
    memory_gib: float
    capability: str
    """CUDA compute capability, such as 9.0."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What the work may use here: the smaller of what is installed and what a container allows."""

    processor: str
    cores: float
    """CPU cores that this process may use; a fraction where a cgroup quota says so."""
    instruction_sets: tuple[str, ...]
    """Those that matter to matrix products."""
    memory_gib: float | None
    """Memory that this process may use in all."""
    available_gib: float | None
    """Memory free now."""
    gpus: tuple[Gpu, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed:
    """Measured with `threads` threads, in about two seconds; other jobs on the machine lower it."""

    threads: int
    float32_gflops: float
    """Matrix product of 1024 x 1024 in float32, in 10^9 operations a second (a multiply and an add are two)."""
    bfloat16_gflops: float | None
    """The same in bfloat16; None where the processor has no such instruction."""
    bandwidth_gb: float
    """Reading memory: a sum over 256 MB, in 10^9 bytes a second."""


@functools.cache
def describe() -> Machine:
    """The machine as this process may use it. Memory free is that of the first call."""
    total, available = _memory_bytes()
    return Machine(
        processor=_processor(),
        cores=usable_cores(),
        instruction_sets=instruction_sets(),
        memory_gib=None if total is None else round(total / 2**30, 2),
        available_gib=None if available is None else round(available / 2**30, 2),
        gpus=_gpus(),
    )


def total_memory_gib() -> float | None:
    """Memory that this process may fill, its container's limit included; None where the system does not say."""
    total, _ = _memory_bytes()
    return None if total is None else total / 2**30


@functools.cache
def instruction_sets() -> tuple[str, ...]:
    """The relevant instruction sets of this processor, lower case, as Linux names them; empty where unknown."""
    flags = set(_cpuinfo("flags").split()) | set(_cpuinfo("Features").split())
    return tuple(name for name in _RELEVANT_SETS if name in flags)


def usable_cores() -> float:
    """Cores that this process may use: its affinity, further limited by a cgroup quota."""
    try:
        cores = float(len(os.sched_getaffinity(0)))
    except AttributeError:  # not on macOS
        cores = float(os.cpu_count() or 1)
    quota = _cgroup_cores()
    return cores if quota is None else min(cores, quota)


def measure(seconds: float = 2.0) -> Speed:
    """Measures matrix products and memory reading on the CPU for about `seconds`, with the threads torch now uses."""
    share = seconds / 3
    has_bfloat16 = bool({"avx512_bf16", "amx_bf16", "bf16"} & set(instruction_sets()))
    return Speed(
        threads=torch.get_num_threads(),
        float32_gflops=_gemm_gflops(torch.float32, share),
        bfloat16_gflops=_gemm_gflops(torch.bfloat16, share) if has_bfloat16 else None,
        bandwidth_gb=_bandwidth_gb(share),
    )


def _gemm_gflops(dtype: torch.dtype, seconds: float) -> float:
    size = 1024
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = _fastest(lambda: torch.mm(left, right), seconds)
    return round(2 * size**3 / best / 1e9, 1)


def _bandwidth_gb(seconds: float) -> float:
    numbers = torch.ones(64 * 2**20, dtype=torch.float32)  # 256 MB: far beyond any cache
    return round(numbers.nbytes / _fastest(numbers.sum, seconds) / 1e9, 1)


def _fastest(work, seconds: float) -> float:
    """Seconds of the fastest call: the one least disturbed by whatever else runs."""
    work()
    end = time.perf_counter() + seconds
    best = float("inf")
    while True:
        start = time.perf_counter()
        work()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best


def _gpus() -> tuple[Gpu, ...]:
    if not torch.cuda.is_available():
        return ()
    found = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        memory = round(facts.total_memory / 2**30, 1)
        found.append(Gpu(name=facts.name, memory_gib=memory, capability=f"{facts.major}.{facts.minor}"))
    return tuple(found)


def _processor() -> str:
    return _cpuinfo("model name").strip() or platform.processor() or platform.machine()


def _cpuinfo(field: str) -> str:
    """The first value of a field in /proc/cpuinfo; empty where there is none."""
    with contextlib.suppress(OSError):
        for line in _CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == field:
                return value
    return ""


def _memory_bytes() -> tuple[int | None, int | None]:
    """(in all, free now), each the smaller of the machine's and the cgroup's."""
    sizes = {}
    with contextlib.suppress(OSError):
        for line in _MEMINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            sizes[name] = int(value.split()[0]) * 1024
    total, available = sizes.get("MemTotal"), sizes.get("MemAvailable")
    limit, used = _cgroup_number("memory.max", "memory/memory.limit_in_bytes"), None
    if limit is not None and (total is None or limit < total):
        used = _cgroup_number("memory.current", "memory/memory.usage_in_bytes") or 0
        available = limit - used if available is None else min(available, limit - used)
        total = limit
    return total, available


def _cgroup_number(*names: str) -> int | None:
    """The number in the first of these cgroup files (version 2, then 1) that exists; None for no limit."""
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            return int((_CGROUP / name).read_text())
    return None


def _cgroup_cores() -> float | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return int(quota) / int(period)  # "max" is no number: no limit
    quota = _cgroup_number("cpu/cpu.cfs_quota_us")
    period = _cgroup_number("cpu/cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None
