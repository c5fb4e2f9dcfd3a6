"""The Python sources on the user's own machine: the standard library and installed packages, for a model of code.

Files are read and never imported. Tests are left out, and files that are tables more than programs.
"""

import importlib.metadata
import importlib.util
import sysconfig
import tokenize
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from trivium.data.documents import Document
from trivium.data.embedded import PACKAGES
from trivium.errors import DataError

ORIGIN = "code"
_SKIPPED = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "testing", "lib2to3", "pydoc_data", "encodings"}
)
_MOST_BYTES = 256 * 1024  # longer files are generated
_LIBRARY = "python"


def source_documents(packages: Sequence[str] = PACKAGES) -> list[Document]:
    """One document a file, in a fixed order: "python" is the standard library, any other name an installed package.

    What is found depends on the versions installed. Of the packages that Trivium needs itself one that is not
    installed is left out.

    Raises:
        DataError: a package that is not installed, or a Python without its sources.
    """
    documents = [document for name in packages for document in _package(name)]
    if not documents:
        raise DataError(
            "this machine has no Python sources to train on",
            received=f"packages {', '.join(packages)} of {sysconfig.get_paths()['stdlib']}",
            expected="the sources of the standard library, as python.org and most distributions install them",
            fix="give your own: a file or a folder",
        )
    return documents


def _package(name: str) -> Iterator[Document]:
    root = _root(name)
    if root is None:
        return
    licence = "PSF-2.0" if name == _LIBRARY else _licence(name)
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        text = None if _SKIPPED.intersection(parts) else _text(path)
        if text is None:
            continue
        names = [*([] if name == _LIBRARY else [name]), *parts[:-1], path.stem]
        module = ".".join(part for part in names if part != "__init__")
        yield Document(id=f"source {module}", text=text, origin=ORIGIN, kind="code", group=module, licence=licence)


def _root(name: str) -> Path | None:
    if name == _LIBRARY:
        return Path(sysconfig.get_paths()["stdlib"])
    try:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
    except ValueError:  # a module that no file was read for, such as __main__
        spec = None
    if spec is not None and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0])
    if name in PACKAGES:
        return None
    raise DataError(
        "there are no sources of such a package on this machine",
        received=name,
        expected=f"{', '.join(PACKAGES)} or another installed package",
        fix=f"use {ORIGIN}, or {ORIGIN}:python",
    )


def _licence(name: str) -> str | None:
    """What the package states of itself, as an SPDX expression."""
    for distribution in importlib.metadata.packages_distributions().get(name, ()):
        return importlib.metadata.metadata(distribution).get("License-Expression")
    return None


def _text(path: Path) -> str | None:
    """A file as Python would read it; None for what is empty, generated or no text."""
    try:
        content = path.read_bytes()
        if not content.strip() or len(content) > _MOST_BYTES:
            return None
        return content.decode(tokenize.detect_encoding(BytesIO(content).readline)[0])
    except (OSError, SyntaxError, UnicodeDecodeError):  # a few files of the library are broken on purpose
        return None
