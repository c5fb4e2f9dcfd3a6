"""The documentation is true: its Python runs, its tables come from the code, its links lead somewhere."""

import importlib.util
import pathlib
import re

import pytest

from trivium.cli.verbs import VERBS

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# ```python runs here; ```python no-run needs a model that a test has not, and must still be Python.
_BLOCK = re.compile(r"^```python(?P<mark>[^\n]*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)")

BLOCKS = [
    pytest.param(match["mark"].strip(), match["code"], id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, match in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize(("mark", "code"), BLOCKS)
def test_python_in_the_documentation_runs(mark, code, tmp_path, monkeypatch):
    assert mark in ("", "no-run"), f"unknown mark {mark!r}"
    program = compile(code, "documentation", "exec")
    monkeypatch.chdir(tmp_path)
    if mark == "":
        exec(program, {"__name__": "documentation"})


def test_there_are_blocks_that_run():
    assert any(block.values[0] == "" for block in BLOCKS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_table_of_architectures_is_that_of_the_code():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == generate.rewritten(text), "README.md is behind the code: run `make docs`"


def test_the_verbs_of_the_documentation_exist():
    known = {verb.name for verb in VERBS}
    for page in PAGES:
        used = set(re.findall(r"(?:^|`|/)trivium ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert used <= known, f"{page.name} speaks of {used - known}"
