"""Programs that want nothing of the machine work inside as they do outside: `programs.txt`, which see."""

import json
import pathlib
import subprocess
import sys

import pytest

from trivium import sandbox

PROGRAMS = {
    block.partition("\n")[0].removeprefix("# "): block
    for block in (pathlib.Path(__file__).parent / "programs.txt").read_text().strip().split("\n\n")
}
_OUTSIDE = """
import json, sys
answers = {}
for name, code in json.load(sys.stdin).items():
    names = {"__name__": "__main__"}
    exec(code, names)
    answers[name] = names["answer"]
print(json.dumps(answers, default=str))
"""
# One in six in the fast suite, always the same ones; all of them in the other.
FEW = list(PROGRAMS)[::6]
needs_sandbox = pytest.mark.skipif(not sandbox.survey().usable, reason="NO SANDBOX on this machine: see trivium doctor")


def outside(names: list[str]) -> dict[str, object]:
    """What a plain interpreter makes of them."""
    programs = json.dumps({name: PROGRAMS[name] for name in names})
    done = subprocess.run([sys.executable, "-c", _OUTSIDE], input=programs, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def differing(names: list[str]) -> dict[str, object]:
    results = dict(zip(names, sandbox.run_many([PROGRAMS[name] for name in names], timeout_s=10), strict=True))
    right = outside(names)
    return {name: result for name, result in results.items() if (result.status, result.value) != ("ok", right[name])}


def test_there_are_enough_and_they_differ():
    assert len(PROGRAMS) >= 200
    assert len(set(PROGRAMS.values())) == len(PROGRAMS)


@needs_sandbox
def test_some_work():
    assert differing(FEW) == {}


@needs_sandbox
@pytest.mark.slow
def test_nearly_all_work():
    wrong = differing(list(PROGRAMS))
    assert len(wrong) <= 0.01 * len(PROGRAMS), wrong
