"""Programs that nobody has read, run by themselves: for rewards that are verified, and answers that are computed.

    result = run("sum(n * n for n in range(10))")
    result.value      # 285
    result.layers     # what stood between the program and this machine

The boundary is the kernel, not a look at the source. Where it cannot be drawn nothing is run: `docs/sandbox.md`.
"""

from trivium.sandbox.run import Result, Survey, run, run_many, survey

__all__ = ["Result", "Survey", "run", "run_many", "survey"]
