"""Machines that lack a layer, made by taking it away: the rest holds, or nothing is run, and the want is told."""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

import pytest

from trivium import sandbox
from trivium.sandbox import layers

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(not sandbox.survey().usable, reason="NO SANDBOX on this machine: see trivium doctor"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="NO NUMBERS of these calls for this machine"),
]

# A filter of our own that has some calls fail before the sandbox is tried, as a container's or an old kernel's would.
_TAKE_AWAY = """
import json, sys
from trivium import sandbox
from trivium.errors import Unsupported
from trivium.sandbox import kernel, seccomp

steps = [(0x20, 0, 0, 0)]
for number, argument, error in json.loads(sys.argv[1]):
    if argument is None:
        steps += [(0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | error)]
    else:
        steps += [(0x15, 0, 4, number), (0x20, 0, 0, 16), (0x15, 0, 1, argument), (0x06, 0, 0, 0x50000 | error)]
        steps += [(0x20, 0, 0, 0)]
seccomp.program = lambda *_: [*steps, (0x06, 0, 0, 0x7FFF0000)]
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
seccomp.install()
survey = sandbox.survey()
told = {"layers": survey.layers, "missing": survey.missing, "usable": survey.usable, "refused": None}
try:
    result = sandbox.run(
        "import json, math, re, datetime, random, statistics, fractions, decimal, typing, dataclasses, heapq, string\\n"
        "def attempt(work):\\n"
        "    try: return str(work())\\n"
        "    except Exception as error: return type(error).__name__\\n"
        "import os\\n"
        "[json.dumps(statistics.mean([1, 2, 3])), attempt(lambda: open('/etc/passwd')), attempt(os.fork),"
        " attempt(lambda: open('/tmp/x', 'w')), attempt(lambda: os.listdir('/')), os.getuid() != 0]"
    )
    told["result"] = [result.status, result.value, result.error, result.stderr]
except Unsupported as error:
    told["refused"] = str(error)
print(json.dumps(told))
"""
UNSHARE, LANDLOCK, SECCOMP, MOUNT = [272, None, 1], [444, None, 38], [157, 22, 22], [165, None, 1]
NAMESPACES = {layers.MOUNT, layers.PID, layers.NETWORK, layers.IPC, layers.UTS}


def without(*taken: list) -> dict:
    command = [sys.executable, "-c", _TAKE_AWAY, json.dumps(taken)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def held(told: dict) -> list[str]:
    """What the program could do: the first a benign thing, the rest none."""
    status, value, error, stderr = told["result"]
    assert status == "ok", (error, stderr)
    assert value[0] == "2"
    assert value[5] is True
    return [word for word in value[1:3] if "Error" not in word]


def test_with_everything_nothing_is_missing():
    told = without()
    assert told["missing"] == {}
    assert held(told) == []


def test_in_a_container_without_namespaces_landlock_holds():
    told = without(UNSHARE)
    assert set(told["missing"]) >= NAMESPACES
    assert "Operation not permitted" in told["missing"][layers.MOUNT]
    assert layers.LANDLOCK in told["layers"]
    assert held(told) == []
    assert told["result"][1][3] == told["result"][1][4] == "PermissionError"  # nothing is written, nothing listed


def test_where_namespaces_may_not_mount_landlock_holds():
    """As AppArmor has it on some systems: the namespace is had, and worth nothing."""
    told = without(MOUNT)
    assert set(told["missing"]) == {layers.MOUNT}
    assert held(told) == []


def test_on_a_kernel_without_landlock_the_root_folder_holds():
    told = without(LANDLOCK)
    assert set(told["missing"]) == {layers.LANDLOCK}
    assert "not implemented" in told["missing"][layers.LANDLOCK]
    assert held(told) == []


def test_without_either_nothing_is_run():
    told = without(LANDLOCK, UNSHARE)
    assert not told["usable"]
    assert "none is run" in told["refused"]
    assert "no landlock ([Errno 38] Function not implemented)" in told["refused"]
    assert "no mount_namespace" in told["refused"]
    assert "result" not in told


def test_without_seccomp_nothing_is_run():
    told = without(SECCOMP)
    assert not told["usable"]
    assert "no seccomp ([Errno 22] Invalid argument)" in told["refused"]


def test_a_privilege_that_stays_is_a_refusal():
    """Where setresuid, the drop of capabilities, or no_new_privs fails, so does everything."""
    for call in ([126, None, 1], [157, 38, 22]):
        told = without(call)
        assert not told["usable"]
        assert "no unprivileged" in told["refused"]


def test_required_layers():
    everything = list(layers.NAMES)
    assert layers.lacking(everything) == []
    for name in layers.REQUIRED:
        assert layers.lacking([other for other in everything if other != name]) == [name]
    for name in layers.FILES:
        assert layers.lacking([other for other in everything if other != name]) == []
    rest = [name for name in everything if name not in layers.FILES]
    assert set(layers.lacking(rest)) == set(layers.FILES)


@pytest.fixture
def ordinary():
    """How to start Python as a user without privileges, on a copy of the package that such a user can read."""
    python, tool = "/usr/bin/python3", shutil.which("setpriv")
    if os.geteuid() != 0:
        pytest.skip("NOT ROOT: the other tests ran as an ordinary user already")
    if tool is None or not os.access(python, os.X_OK):
        pytest.skip("NO INTERPRETER that an ordinary user can start, or no setpriv")
    if subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode:
        pytest.skip("NO INTERPRETER of 3.11 or newer that an ordinary user can start")
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "trivium").mkdir()
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "trivium" / name, folder / "trivium" / name)
    shutil.copytree(ROOT / "trivium" / "sandbox", folder / "trivium" / "sandbox")
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)

    def start(code: str, *arguments: str) -> dict:
        as_nobody = [tool, "--reuid=65534", "--regid=65534", "--clear-groups", python, "-c", code, *arguments]
        done = subprocess.run(as_nobody, capture_output=True, text=True, cwd=folder, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    yield start
    shutil.rmtree(folder)


def test_as_an_ordinary_user(ordinary):
    told = ordinary(_TAKE_AWAY, "[]")
    assert told["usable"]
    assert layers.LANDLOCK in told["layers"]
    assert held(told) == []


def test_as_an_ordinary_user_without_namespaces(ordinary):
    told = ordinary(_TAKE_AWAY, json.dumps([UNSHARE]))
    assert NAMESPACES | {layers.USER} <= set(told["missing"])
    assert held(told) == []


def test_as_an_ordinary_user_without_either(ordinary):
    assert "none is run" in ordinary(_TAKE_AWAY, json.dumps([UNSHARE, LANDLOCK]))["refused"]
