"""The Python sources of this machine, as documents."""

import ast
from pathlib import Path

import pytest

from trivium.data import python_sources
from trivium.data.funnel import Funnel
from trivium.data.python_sources import ORIGIN, source_documents
from trivium.data.readers import ReadOptions
from trivium.data.sources import listed
from trivium.errors import DataError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A standard library of four files, and a package beside it."""
    library = tmp_path / "library"
    (library / "json").mkdir(parents=True)
    (library / "test").mkdir()
    (library / "site-packages" / "other").mkdir(parents=True)
    (library / "json" / "__init__.py").write_text("def load(): ...\n", encoding="utf-8")
    (library / "abc.py").write_bytes("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1"))
    (library / "empty.py").write_text("\n", encoding="utf-8")
    (library / "table.py").write_text("x = 1\n" * 50_000, encoding="utf-8")
    (library / "broken.py").write_bytes(b"name = '\xff'\n")
    (library / "test" / "test_abc.py").write_text("assert True\n", encoding="utf-8")
    (library / "site-packages" / "other" / "mine.py").write_text("y = 2\n", encoding="utf-8")
    monkeypatch.setattr(python_sources.sysconfig, "get_paths", lambda: {"stdlib": str(library)})
    return tmp_path


def test_the_standard_library_without_tests_tables_and_what_is_no_text(machine: Path) -> None:
    documents = source_documents(("python",))
    assert [(each.id, each.group) for each in documents] == [("source abc", "abc"), ("source json", "json")]
    assert documents[0].text == "# -*- coding: latin-1 -*-\nname = 'é'\n"
    assert {(each.origin, each.kind, each.licence) for each in documents} == {("code", "code", "PSF-2.0")}


def test_an_installed_package_with_its_licence() -> None:
    documents = source_documents(("jaxtyping",))
    names = [each.group for each in documents]
    assert "jaxtyping" in names and "jaxtyping._array_types" in names
    assert all(name.split(".")[0] == "jaxtyping" for name in names)
    for each in documents:
        ast.parse(each.text)


def test_what_is_not_there(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_such_package", "../etc", "__main__"):
        with pytest.raises(DataError, match="no sources of such a package"):
            source_documents((name,))
    monkeypatch.setattr(python_sources.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path / "none")})
    with pytest.raises(DataError, match="no Python sources"):
        source_documents(("python",))


def test_a_source_by_its_name_unless_there_is_such_a_file(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def found() -> tuple[int, int]:
        documents, parts = listed([f"{ORIGIN}:python"], ReadOptions(), tmp_path, Funnel(), skip_unreadable=False)
        return len(documents), len(parts)

    assert found() == (2, 0)
    Path("code:python").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError):  # a file without an ending is not read
        found()
