"""From the call to the result of a program that does next to nothing: what each verified reward waits for.

    python benchmarks/sandbox.py            # some twenty seconds on one core
    python benchmarks/sandbox.py --smoke    # some seconds: fewer runs

Beside it the same program in a plain interpreter of the same flags, which nothing holds: the difference is the price of
the layers. Contenders take turns. The last line is of programs a second when each core has one.
"""

import argparse
import statistics
import subprocess
import sys
import time

from trivium import sandbox

PROGRAM = "sum(n * n for n in range(10))"
GOAL_MILLISECONDS = 150.0  # of the 95th percentile


def behind_the_layers() -> None:
    result = sandbox.run(PROGRAM)
    assert result.value == 285, result


def plain() -> None:
    command = [sys.executable, "-I", "-S", "-c", f"import json; print(json.dumps({PROGRAM}))"]
    done = subprocess.run(command, capture_output=True, env={}, check=True)
    assert done.stdout == b"285\n"


def measure(runs: int) -> dict[str, list[float]]:
    """Milliseconds of each run, in order of size."""
    contenders = {"behind the layers": behind_the_layers, "plain interpreter": plain}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for work in contenders.values():
        work()
    for turn in range(runs):
        for name in list(contenders)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            contenders[name]()
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: sorted(milliseconds) for name, milliseconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="of each contender")
    parser.add_argument("--smoke", action="store_true", help="fewer runs")
    options = parser.parse_args()
    runs = 20 if options.smoke else options.runs
    print(f"layers: {', '.join(sandbox.survey().layers)}")
    p95 = {}
    for name, milliseconds in measure(runs).items():
        p95[name] = milliseconds[min(runs - 1, round(0.95 * runs))]
        print(f"{name:<20} p50 {statistics.median(milliseconds):6.1f} ms   p95 {p95[name]:6.1f} ms   of {runs} runs")
    start = time.perf_counter()
    sandbox.run_many([PROGRAM] * runs)
    print(f"side by side         {runs / (time.perf_counter() - start):6.1f} programs a second")
    slowest = p95["behind the layers"]
    met = "met" if slowest <= GOAL_MILLISECONDS else "MISSED"
    print(f"{met}: p95 {slowest:.0f} ms, the goal is {GOAL_MILLISECONDS:g} ms")


if __name__ == "__main__":
    main()
