"""`run` and `run_many`: a program in, what came of it out, and no program at all where the machine cannot hold it."""

import concurrent.futures
import dataclasses
import json
import os
import platform
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from trivium.errors import ConfigError, TriviumError, Unsupported
from trivium.sandbox import layers

if TYPE_CHECKING:
    from trivium.sandbox.process import Ending

Status = Literal["ok", "error", "timeout", "memory", "output", "killed"]
_LEAST_MEMORY_MIB, _MOST_MEMORY_MIB = 64, 1 << 27
"""The most is what an address of x86_64 has bits for; more is more than a limit can be set to."""
_LONGEST_S = 86_400.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a program. All but `layers` and `seconds` is the program's word, which it may have made up."""

    status: Status
    """"ok"; "error": it raised, or ended with a code; "timeout"; "memory": it ran out of what it may have; "output": it
    wrote more than it may; "killed": it ended without an answer, by a signal for example."""
    value: Any
    """The last line's, if that is an expression and not None; else that of the variable `answer`; as JSON has it."""
    stdout: str
    """What it printed."""
    stderr: str
    """What it wrote there, and the traceback of an error."""
    error: str | None
    """What was wrong, in a line; None for "ok"."""
    layers: tuple[str, ...]
    """The layers that were in force, from before its first line on; told before it ran."""
    seconds: float
    """Wall clock of the program, without the start of its process."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
    """What this machine has to hold a program with."""

    layers: tuple[str, ...]
    """The layers that are there."""
    missing: dict[str, str]
    """Those that are not, each with the reason."""
    usable: bool
    """Whether `run` runs anything here."""


def run(code: str, *, timeout_s: float = 5, memory_mib: int = 256, output_kib: int = 1024, stdin: str = "") -> Result:
    """Runs a Python program that nobody has read, and gives back what came of it.

    The program sees the standard library and nothing else: no file, no network, no other process. It may take
    `timeout_s` seconds of wall clock, `memory_mib` MiB of address space, and `output_kib` KiB each of standard output,
    standard error and value. Safe to call from several threads.

    Raises Unsupported where a layer is missing that nothing is run without, and says which and why.
    """
    ending = _executed(code, stdin, timeout_s, memory_mib, output_kib)
    facts = _announced(ending)
    if facts["lacking"]:
        raise _unsupported({name: facts["missing"].get(name, "") for name in facts["lacking"]})
    return _result(ending, tuple(facts["layers"]))


def run_many(
    codes: Iterable[str],
    *,
    workers: int | None = None,
    timeout_s: float = 5,
    memory_mib: int = 256,
    output_kib: int = 1024,
) -> list[Result]:
    """`run` for each program, `workers` of them side by side (one for each core unless told), in the order given."""
    if workers is not None and workers < 1:
        raise ConfigError("programs need at least one worker", received=workers, fix="leave `workers` out")

    def one(code: str) -> Result:
        return run(code, timeout_s=timeout_s, memory_mib=memory_mib, output_kib=output_kib)

    with concurrent.futures.ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        futures = [pool.submit(one, code) for code in codes]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def survey() -> Survey:
    """Which layers this machine has, found out by putting them on."""
    try:
        facts = _announced(_executed("", "", 5, 256, 64))
    except Unsupported as error:
        return Survey(layers=(), missing=dict.fromkeys(layers.NAMES, error.what), usable=False)
    return Survey(layers=tuple(facts["layers"]), missing=facts["missing"], usable=not facts["lacking"])


def _executed(code: str, stdin: str, timeout_s: float, memory_mib: int, output_kib: int) -> "Ending":
    if sys.platform != "linux" or platform.machine() not in layers.MACHINES:
        raise _unsupported(dict.fromkeys(layers.REQUIRED, f"{platform.system()} on {platform.machine()}"))
    if not 0 < timeout_s <= _LONGEST_S:
        expected = f"more than 0, and at most {_LONGEST_S:.0f}, a day"
        raise ConfigError(
            "a program needs some time, and not for ever", received=f"timeout_s={timeout_s}", expected=expected
        )
    if memory_mib < _LEAST_MEMORY_MIB:
        expected = f"at least {_LEAST_MEMORY_MIB}: the interpreter itself takes half of that"
        raise ConfigError("the program has too little memory", received=f"memory_mib={memory_mib}", expected=expected)
    if memory_mib > _MOST_MEMORY_MIB:
        expected = f"at most {_MOST_MEMORY_MIB:,}"
        raise ConfigError("no process has so much memory", received=f"memory_mib={memory_mib}", expected=expected)
    if output_kib < 1:
        raise ConfigError("the answer needs some room", received=f"output_kib={output_kib}", expected="at least 1")
    # What only Linux has is imported only there.
    from trivium.sandbox.process import Order, execute

    order = Order(code=code, stdin=stdin, timeout_s=timeout_s, memory_mib=memory_mib, output_kib=output_kib)
    return execute(order)


def _unsupported(missing: dict[str, str]) -> Unsupported:
    return Unsupported(
        "this machine cannot hold a program that nobody has read, so none is run",
        received="; ".join(f"no {name} ({reason})" for name, reason in missing.items()),
        expected=f"{', '.join(layers.REQUIRED)}, and one of {' and '.join(layers.FILES)}",
        fix="use Linux 5.13 or newer on x86_64 or aarch64; `trivium doctor` tells what a machine has",
    )


def _announced(ending: "Ending") -> dict[str, Any]:
    """What the process told of itself before the program began."""
    if not ending.announced:
        if ending.stopped == "timeout":
            raise TriviumError("the sandbox did not start in time: the machine is overloaded")
        last = ending.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise TriviumError(f"the sandbox did not start, and ended with code {ending.code}: {last}")
    return json.loads(ending.announced)


def _result(ending: "Ending", in_force: tuple[str, ...]) -> Result:
    status, value, error = _judged(ending)
    return Result(
        status=status,
        value=value,
        stdout=ending.stdout.decode("utf-8", "replace"),
        stderr=ending.stderr.decode("utf-8", "replace"),
        error=error,
        layers=in_force,
        seconds=ending.seconds,
    )


def _judged(ending: "Ending") -> tuple[Status, Any, str | None]:
    """Status, value and error. Whatever the program has written for an answer is taken for a text, and no more."""
    if ending.stopped == "timeout":
        return "timeout", None, f"stopped after {ending.seconds:.1f} s"
    if ending.stopped == "output":
        return "output", None, "stopped for writing too much"
    if not ending.answer:
        how = f"by signal {-ending.code}" if ending.code < 0 else f"with code {ending.code}"
        return "killed", None, f"it ended {how} before it had answered"
    try:
        told = json.loads(ending.answer)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or set(told) != {"status", "value", "error"}:
        return "error", None, "what it wrote to the answer's pipe is not an answer"
    if told["status"] == "ok":
        return "ok", told["value"], None
    return ("memory" if told["status"] == "memory" else "error"), None, str(told["error"])
