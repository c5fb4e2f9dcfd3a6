"""Names that are used and nowhere defined; the lint cannot look for them, since jaxtyping's shapes look the same."""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def test_only_shapes_are_names_that_nobody_defines() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "F821", "--output-format", "json", "."]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout)
    assert found, "shapes are found at least"
    names = {(each["filename"], match[1]) for each in found if (match := re.search("`(.*)`", each["message"]))}
    assert not {(file, name) for file, name in names if not re.fullmatch("[A-Z_]", name)}
