"""The long runs, one after the other: `make figures`. What is finished is skipped, what was stopped goes on.

    python benchmarks/figures/run_all.py

Every script beside this one keeps one JSON for each of its cells in benchmarks/results/, and skips those that exist.
"""

import pathlib
import subprocess
import sys

_HERE = pathlib.Path(__file__).resolve().parent


def main() -> int:
    """Runs each script in a process of its own; the first that fails or is interrupted ends the queue."""
    for script in sorted(_HERE.glob("*.py")):
        if script.name == pathlib.Path(__file__).name:
            continue
        print(f"== {script.name}", flush=True)
        code = subprocess.run([sys.executable, script], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
