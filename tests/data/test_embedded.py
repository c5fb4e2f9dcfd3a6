"""The embedded corpus: read without importing, real text, and pairs for tuning."""

import ast
import subprocess
import sys

import pytest

from trivium.data import embedded
from trivium.data.embedded import Entry, embedded_documents, embedded_entries, name_signature_summary_pairs
from trivium.errors import DataError


@pytest.fixture(scope="module")
def python() -> list[Entry]:
    return embedded_entries(("python",))


def test_the_standard_library_and_the_reference_are_found(python: list[Entry]) -> None:
    by_name = {entry.name: entry for entry in python}
    assert by_name["asyncio.queues.Queue.put"].signature == "(self, item)"
    assert by_name["asyncio.queues.Queue.put"].group == "asyncio.queues"
    assert by_name["textwrap.dedent"].documentation.startswith("Remove any common leading whitespace")
    assert by_name["textwrap.TextWrapper"].signature.startswith("(self, width=70")
    assert any(entry.kind == "reference" and len(entry.documentation) > 1000 for entry in python)
    assert sum(len(entry.documentation) for entry in python) > 1_000_000
    assert not any(".test." in entry.name for entry in python)


def test_documents_carry_their_heading_group_and_licence(python: list[Entry]) -> None:
    documents = embedded_documents(python)
    put = next(d for d in documents if d.id == "function asyncio.queues.Queue.put")
    assert put.text.startswith("function asyncio.queues.Queue.put(self, item)\n\nPut an item into the queue.")
    assert (put.kind, put.group, put.licence) == ("docstring", "asyncio.queues", "PSF-2.0")


def test_pairs_are_public_short_and_different(python: list[Entry]) -> None:
    pairs = name_signature_summary_pairs(python)
    assert len(pairs) > 1000
    assert all(15 <= len(pair.summary) <= 200 and "\n" not in pair.summary for pair in pairs)
    assert len({(pair.name.rpartition(".")[2], pair.summary) for pair in pairs}) == len(pairs)
    dedent = next(pair for pair in pairs if pair.name == "textwrap.dedent")
    assert dedent.summary == "Remove any common leading whitespace from every line in `text`."


def test_numpy_functions_written_in_c_are_found() -> None:
    by_name = {entry.name: entry for entry in embedded_entries(("numpy",))}
    assert by_name["numpy._core.multiarray.asarray"].documentation
    assert any(entry.licence == "BSD-3-Clause" for entry in by_name.values())


SOURCE = '''
"""Module text."""
add_docstr(torch.abs, r"""
abs(input: Tensor, *, out=None) -> Tensor

Computes it.

Args:
    {input}
    dim (int): kept {{as}} is
""".format(**common))
add_docstr_all("abs_", """abs_() -> Tensor

In place.""")
add_newdoc("numpy", "flat", ("base", """The base."""))
_array_method_doc("flatten", "order='C'", """
    Return a copy.
    """)
if True:
    try:
        def inner(a, /, b: int = 3, *args, c=None, **rest) -> "str":
            """Inner text."""
            def nested():
                """Not found: no caller sees it."""
    except ImportError:
        class C:
            """Class text."""
            def __init__(self, width): ...
            async def m(self):
                """Method text."""
'''


def test_what_is_documented_where() -> None:
    tree = ast.parse(SOURCE)
    entries = [*embedded._module(tree, "m", "MIT"), *embedded._native(tree, "torch", "MIT")]
    assert [(e.kind, e.name, e.signature, e.documentation, e.group) for e in entries] == [
        ("module", "m", "", "Module text.", "m"),
        ("function", "m.inner", "(a, /, b: int=3, *args, c=None, **rest) -> 'str'", "Inner text.", "m"),
        ("class", "m.C", "(self, width)", "Class text.", "m"),
        ("function", "m.C.m", "(self)", "Method text.", "m"),
        (
            "function",
            "torch.abs",
            "(input: Tensor, *, out=None) -> Tensor",
            "Computes it.\n\nArgs:\n    dim (int): kept {as} is",
            "torch.abs",
        ),
        ("function", "torch.Tensor.abs_", "() -> Tensor", "In place.", "torch.abs"),
        ("function", "numpy.flat.base", "", "The base.", "torch.base"),
        ("function", "numpy.ndarray.flatten", "(order='C')", "Return a copy.", "torch.flatten"),
    ]


def test_nothing_is_imported(repository) -> None:
    """Reading the library must not run it: `this` prints, `antigravity` opens a browser."""
    script = (
        "import sys, sysconfig; sysconfig.get_paths()\n"
        "from trivium.data.embedded import embedded_entries; before = set(sys.modules)\n"
        "embedded_entries(('python',)); print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_python_without_sources_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(embedded.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(DataError, match="no documentation to train on"):
        embedded_entries(("python",))
