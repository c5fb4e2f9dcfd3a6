"""The public surface: light to import, and every name it promises is there."""

import ast
import pathlib
import subprocess
import sys
import tomllib

import pytest

import trivium

ROOT = pathlib.Path(__file__).parents[2]


def test_importing_trivium_imports_nothing_heavy():
    code = "import sys, trivium; print(*sorted({'torch', 'numpy', 'jaxtyping', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", trivium.__all__)
def test_every_public_name_is_there(name):
    assert getattr(trivium, name) is not None
    assert name in dir(trivium)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = trivium.lod


def test_every_file_of_the_package_imports_itself_by_name():
    """No relative imports, and no `from __future__ import annotations`: it would hide shapes from the checks."""
    for file in (ROOT / "trivium").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: relative import"
                assert node.module != "__future__", f"{file}: from __future__"


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "trivium" / "py.typed").exists()


def test_at_most_twelve_dependencies_and_each_is_locked_and_explained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [requirement.split(">")[0] for requirement in project["dependencies"]]
    assert len(names) <= 12
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    decisions = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8").lower()
    extras = [r.split(">")[0] for extra in project["optional-dependencies"].values() for r in extra]
    for name in names + extras:
        assert name in locked, f"{name} is not in requirements.lock"
        assert f"`{name}`" in decisions, f"docs/decisions.md does not say why {name} is used"


def test_every_folder_is_a_package():
    """The import contract does not see into a folder without `__init__.py`."""
    for file in (ROOT / "trivium").rglob("*.py"):
        assert (file.parent / "__init__.py").exists(), f"{file.parent} has no __init__.py"
