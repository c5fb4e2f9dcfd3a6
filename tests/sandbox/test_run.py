"""What `run` gives back, for programs that behave and for those that do not."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest

from trivium import sandbox
from trivium.errors import ConfigError, TriviumError, Unsupported
from trivium.sandbox import layers

needs_sandbox = pytest.mark.skipif(not sandbox.survey().usable, reason="NO SANDBOX on this machine: see trivium doctor")
pytestmark = needs_sandbox

VALUES = {
    "1 + 1": 2,
    "'é\\ud800'": "é\ud800",
    "x = 5": None,
    "answer = 3": 3,
    "answer = 3\n4": 4,
    "answer = 3\nprint(answer)": 3,
    "answer = 3\nNone": 3,
    "(1, [2.5, None, True])": [1, [2.5, None, True]],
    "{1: 2, 'a': {}}": {"1": 2, "a": {}},
    "{(1, 2): 3}": "{(1, 2): 3}",
    "from fractions import Fraction\nFraction(1, 3)": "1/3",
    "{7}": "{7}",
    "a = []\na.append(a)\na": "[[...]]",
    "float('inf')": float("inf"),
    "": None,
    "# nothing": None,
    "def f():\n    return 6\nf() * 7": 42,
    "import sys\nsys.exit()": None,
    "answer = 9\nraise SystemExit(0)": 9,
    "from __future__ import annotations\n5": 5,
    "__name__": "__main__",
    "import sys\nsys.argv": ["<program>"],
    "'a' if False else 'b';": "b",
}


@pytest.mark.parametrize("code", VALUES)
def test_values(code):
    result = sandbox.run(code)
    assert (result.status, result.value, result.error) == ("ok", VALUES[code], None)


def test_what_is_printed_and_what_is_read():
    result = sandbox.run(
        "import sys\nname = input()\nprint('hello', name)\nprint('aside', file=sys.stderr)", stdin="ann\n"
    )
    assert (result.stdout, result.stderr) == ("hello ann\n", "aside\n")
    assert sandbox.run("input()").error == "EOFError: EOF when reading a line"


ERRORS = {
    "1 / 0": "ZeroDivisionError: division by zero",
    "raise ValueError('no\\nway')": "ValueError: no\nway",
    "import sys\nsys.exit('done')": "SystemExit: done",
    "import sys\nsys.exit(3)": "SystemExit: 3",
    "def f(": "SyntaxError: '(' was never closed (<program>, line 1)",
    "raise KeyboardInterrupt": "KeyboardInterrupt: ",
    "class E(Exception):\n    __str__ = None\nraise E": "E",
    "10 ** 5000": "ValueError: Exceeds the limit (4300 digits) for integer string conversion",
    "import numpy": "ModuleNotFoundError: No module named 'numpy'",
}


@pytest.mark.parametrize("code", ERRORS)
def test_errors(code):
    result = sandbox.run(code)
    assert (result.status, result.value) == ("error", None)
    assert str(result.error).startswith(ERRORS[code])


def test_a_traceback_begins_with_the_program():
    result = sandbox.run("def f():\n    return 1 / 0\nf()")
    assert [line for line in result.stderr.splitlines() if "File" in line] == [
        '  File "<program>", line 3, in <module>',
        '  File "<program>", line 2, in f',
    ]


def test_time_and_memory_and_output_and_death():
    slow = sandbox.run("while True: pass", timeout_s=0.3)
    assert (slow.status, slow.value) == ("timeout", None)
    assert slow.seconds >= 0.3
    assert sandbox.run("bytearray(1 << 30)").status == "memory"
    assert sandbox.run("kept = []\nwhile True: kept.append(bytearray(1 << 20))").status == "memory"
    assert sandbox.run("[0] * 100_000", output_kib=64).status == "output"
    loud = sandbox.run("while True: print('x' * 1000)", output_kib=4)
    assert (loud.status, len(loud.stdout)) == ("output", 4096)
    assert sandbox.run("import ctypes\nctypes.string_at(0)").status == "killed"
    assert "by signal" in str(sandbox.run("import os\nos.abort()").error)
    gone = sandbox.run("import os\nos._exit(7)")
    assert (gone.status, gone.error) == ("killed", "it ended with code 7 before it had answered")


def test_recursion_without_end_ends_the_program_alone():
    through_c = "class A:\n    def __getattr__(self, name): return getattr(A(), name)\nA().b"
    assert sandbox.run(f"import sys\nsys.setrecursionlimit(10**9)\n{through_c}").status in ("killed", "memory")


def test_the_layers_are_told_before_the_program_can_speak():
    forged = """
        import os
        facts, told = b'{"layers": [], "missing": {}, "lacking": []}', b'{"status": "ok", "value": 1, "error": null}'
        for pipe in range(3, 9):
            try:
                os.write(pipe, facts + b'\\n' + told + b'\\n')
            except OSError:
                pass
        os._exit(0)
    """.replace("\n        ", "\n")
    result = sandbox.run(forged)
    assert result.layers == sandbox.survey().layers
    assert (result.status, result.value) == ("error", None)


def speaking(text: str) -> sandbox.Result:
    """Of a program that writes this to the answer's pipe, and ends."""
    code = f"""
import os
for pipe in range(3, 9):
    try:
        os.write(pipe, {text!r}.encode())
    except OSError:
        pass
os._exit(0)
"""
    return sandbox.run(code)


NO_ANSWERS = [
    "x",
    "[]",
    "null",
    "{}",
    '{"status": "ok"}',
    '{"status": "ok", "value": 1, "error": null, "layers": []}',
    '{"status": "ok", "value": 1, "error": null}\n{}',
    "[" * 50_000,
    '{"status": "ok", "error": null, "value": ' + "9" * 5000 + "}",
    "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
]


@pytest.mark.parametrize("text", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_what_is_no_answer_is_not_taken_for_one(text):
    result = speaking(text)
    assert (result.status, result.value) == ("error", None)
    assert "is not an answer" in str(result.error)


def test_a_status_is_one_of_ours():
    assert speaking('{"status": "root", "value": 1, "error": {"a": 1}}').status == "error"


def test_two_answers_are_none():
    code = "import os\nfor pipe in range(3, 9):\n    try: os.write(pipe, b'{}')\n    except OSError: pass\n5"
    assert sandbox.run(code).status == "error"


def test_a_flood_of_answers_is_cut():
    code = "import os\nwhile True: os.write(3, b'x' * 65536)"
    assert sandbox.run(code, output_kib=256).status == "output"


def test_a_program_without_its_pipes_is_ended_all_the_same():
    result = sandbox.run("import os, time\nos.closerange(0, 64)\ntime.sleep(60)", timeout_s=0.3)
    assert result.status == "timeout"
    assert sandbox.run("import os\nos.closerange(0, 64)").status == "killed"


def test_many_at_once_keep_their_order():
    results = sandbox.run_many([f"{n} * 2" for n in range(12)], workers=4)
    assert [result.value for result in results] == [2 * n for n in range(12)]
    with pytest.raises(ConfigError, match="at least one worker"):
        sandbox.run_many(["1"], workers=0)


def test_nothing_is_kept_open_and_nobody_waits_to_be_collected():
    def descriptors() -> int:
        return len(list(pathlib.Path("/proc/self/fd").iterdir()))

    def children() -> set[str]:  # other tests' libraries may keep some
        stats = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "pid=,comm="], capture_output=True, text=True)
        return {line for line in stats.stdout.splitlines() if not line.endswith(" ps")}

    sandbox.run("1")
    before, living = descriptors(), children()
    for code in ("1", "1 / 0", "while True: pass", "import os; os.abort()"):
        sandbox.run(code, timeout_s=0.2)
    assert descriptors() == before
    assert children() <= living


def test_two_programs_do_not_see_each_other():
    here = threading.Barrier(2)

    def one(_):
        here.wait(10)
        return sandbox.run("import os, time\nopen('mine', 'x')\ntime.sleep(0.2)\n[os.getpid(), os.listdir()]").value

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(one, range(2))
    if "pid_namespace" in sandbox.survey().layers:
        assert first == second == [1, ["mine"]]


def test_a_parent_that_dies_takes_the_program_along():
    """The thread that started it is the parent in the kernel's eyes."""
    marks = "import os\nwhile True: pass"
    child = os.fork()
    if child == 0:
        try:
            sandbox.run(marks, timeout_s=60)
        finally:
            os._exit(1)
    time.sleep(0.7)
    os.kill(child, 9)
    os.waitpid(child, 0)
    end = time.monotonic() + 5
    while (left := _sandboxes()) and time.monotonic() < end:
        time.sleep(0.02)
    assert left == []


def _sandboxes() -> list[str]:
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if b"child.main(sys.argv" in (folder / "cmdline").read_bytes():
                found.append(str(folder))
        except OSError:
            pass
    return found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"timeout_s": 0}, "some time"),
        ({"timeout_s": float("inf")}, "not for ever"),
        ({"timeout_s": float("nan")}, "some time"),
        ({"timeout_s": 86_401}, "not for ever"),
        ({"memory_mib": 63}, "too little memory"),
        ({"memory_mib": 1 << 50}, "so much memory"),
        ({"output_kib": 0}, "some room"),
    ],
)
def test_impossible_limits_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        sandbox.run("1", **settings)


def test_threads_share_the_memory_and_the_environment_stays_empty():
    waiting = "def wait(number):\n    time.sleep(0.05)\n    return number\n"
    pool = "with ThreadPoolExecutor(16) as pool:\n    answer = sum(pool.map(wait, range(32)))\n"
    result = sandbox.run(f"import time\nfrom concurrent.futures import ThreadPoolExecutor\n{waiting}{pool}")
    assert (result.status, result.value, result.error) == ("ok", 496, None)
    assert set(sandbox.run("import os\nlist(os.environ)").value) <= {"LC_CTYPE"}  # which Python sets itself


def test_the_least_memory_is_enough_for_the_least_program():
    assert sandbox.run("1", memory_mib=64).value == 1


def test_another_system_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(Unsupported, match="none is run") as caught:
        sandbox.run("1")
    assert "no seccomp" in str(caught.value)
    monkeypatch.undo()
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not sandbox.survey().usable
    assert set(sandbox.survey().missing) == set(layers.NAMES)


def test_an_interpreter_that_does_not_start_is_no_result(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(TriviumError, match="did not start, and ended with code 1"):
        sandbox.run("1")


def test_a_result_is_plain_data():
    result = sandbox.run("[1]")
    assert json.loads(json.dumps(result.value)) == [1]
    assert set(layers.REQUIRED) <= set(result.layers)
