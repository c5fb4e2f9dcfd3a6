"""THE EMBEDDED CORPUS: the documentation on the user's own machine.

Python's language reference (`pydoc_data.topics`), and every docstring with its signature of the standard library and
of the installed torch and numpy: real English and code wherever Trivium runs, with no download, and supervised data
besides (name and signature -> summary). Sources are read with `ast` and never imported. What is found depends on the
versions installed, so no count may be relied upon.
"""

import ast
import gc
import importlib.util
import inspect
import re
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trivium.data.documents import Document
from trivium.data.sentences import first_sentence
from trivium.errors import DataError

ORIGIN = "embedded"
PACKAGES = ("python", "torch", "numpy")
_SKIPPED = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "testing", "lib2to3", "pydoc_data", "turtledemo"}
)
# torch's private modules are as large as its public ones and document internals; these two hold its public functions.
_TORCH_NATIVE = frozenset({"_torch_docs.py", "_tensor_docs.py"})
_SUMMARY_CHARACTERS = (15, 200)
_PLACEHOLDER_LINE = re.compile(r"^[ \t]*(\w+: )?\{\w+\}[ \t]*\n?", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One documented object."""

    name: str
    """Qualified name, such as ``asyncio.queues.Queue.put``."""
    kind: str
    """"module", "class", "function" or "reference"."""
    signature: str
    """Parameters and result as written, such as ``(self, item)``; empty for modules and the reference."""
    documentation: str
    """The docstring without its indentation."""
    group: str
    """The module; a function documented from C is a group together with its in-place and method forms."""
    licence: str
    """SPDX identifier."""


@dataclass(frozen=True, kw_only=True)
class SummaryPair:
    """What an instruction-tuned model is to do: tell from a name and its signature what it does."""

    name: str
    """Qualified name."""
    signature: str
    """Parameters and result as written."""
    summary: str
    """First sentence of the docstring."""
    group: str
    """Decides the split, as it does for the document."""


def embedded_entries(packages: Sequence[str] = PACKAGES) -> list[Entry]:
    """Everything documented in ``packages``, in a fixed order; a package that is not installed is left out.

    Raises:
        DataError: nothing was found, as in a Python without its sources.
    """
    with _without_garbage_collection():
        entries = list(_entries(packages))
    if not entries:
        raise DataError(
            "this Python has no documentation to train on",
            received=f"packages {', '.join(packages)} of {sysconfig.get_paths()['stdlib']}",
            expected="the sources of the standard library, as python.org and most distributions install them",
            fix="give your own text: a file or a folder",
        )
    return entries


def _entries(packages: Sequence[str]) -> Iterator[Entry]:
    if "python" in packages:
        library = Path(sysconfig.get_paths()["stdlib"])
        yield from _reference(library / "pydoc_data" / "topics.py")
        yield from _package(library, "", "PSF-2.0")
    for name in ("torch", "numpy"):
        spec = importlib.util.find_spec(name) if name in packages else None
        if spec is not None and spec.submodule_search_locations:
            yield from _package(Path(spec.submodule_search_locations[0]), name, "BSD-3-Clause")


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Syntax trees are millions of objects without a cycle: looking for cycles takes longer than parsing them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def embedded_documents(entries: list[Entry] | None = None) -> list[Document]:
    """The corpus: one document for each entry, its name and signature followed by its documentation."""
    documents: list[Document] = []
    for entry in embedded_entries() if entries is None else entries:
        reference = entry.kind == "reference"
        heading = "" if reference else f"{entry.kind} {entry.name}{entry.signature}\n\n"
        documents.append(
            Document(
                id=f"{entry.kind} {entry.name}",
                text=heading + entry.documentation,
                origin=ORIGIN,
                kind="reference" if reference else "docstring",
                group=entry.group,
                licence=entry.licence,
            )
        )
    return documents


def name_signature_summary_pairs(entries: list[Entry] | None = None) -> list[SummaryPair]:
    """Public functions and classes whose first sentence says something, each name and summary once."""
    pairs: list[SummaryPair] = []
    seen: set[tuple[str, str]] = set()
    low, high = _SUMMARY_CHARACTERS
    for entry in embedded_entries() if entries is None else entries:
        leaf = entry.name.rpartition(".")[2]
        if entry.kind not in ("function", "class") or leaf.startswith("_"):
            continue
        summary = first_sentence(entry.documentation)
        if not low <= len(summary) <= high or (leaf, summary) in seen:
            continue
        seen.add((leaf, summary))
        pairs.append(SummaryPair(name=entry.name, signature=entry.signature, summary=summary, group=entry.group))
    return pairs


def _reference(path: Path) -> Iterator[Entry]:
    """The topics of ``help()``: a module that assigns one dictionary of texts."""
    tree = _parsed(path)
    for node in tree.body if tree else []:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                topic, text = _string(key), _string(value)
                if topic and text:
                    yield Entry(
                        name=topic,
                        kind="reference",
                        signature="",
                        documentation=inspect.cleandoc(text),
                        group=f"reference.{topic}",
                        licence="PSF-2.0",
                    )


def _package(root: Path, package: str, licence: str) -> Iterator[Entry]:
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if _SKIPPED.intersection(parts) or (package == "torch" and _is_private(parts)):
            continue
        tree = _parsed(path)
        if tree is None:
            continue
        names = [package, *parts[:-1], path.stem]
        module = ".".join(name for name in names if name and name != "__init__")
        yield from _module(tree, module, licence)
        yield from _native(tree, package, licence)


def _is_private(parts: tuple[str, ...]) -> bool:
    return parts[-1] not in _TORCH_NATIVE and any(p.startswith("_") and p != "__init__.py" for p in parts)


def _parsed(path: Path) -> ast.Module | None:
    """The syntax tree of a file with docstrings in it, or None; files that are not valid Python are passed over."""
    try:
        content = path.read_bytes()
        if b'"""' not in content and b"'''" not in content and path.name != "topics.py":
            return None
        return ast.parse(content)
    except (OSError, SyntaxError, ValueError):  # a few files of the library are broken on purpose
        return None


def _module(tree: ast.Module, module: str, licence: str) -> Iterator[Entry]:
    """The docstrings of a module, of its classes and functions at any depth of classes and conditions."""
    documentation = ast.get_docstring(tree)
    if documentation:
        yield Entry(
            name=module, kind="module", signature="", documentation=documentation, group=module, licence=licence
        )
    pending: list[tuple[ast.stmt | ast.ExceptHandler, str]] = [(node, module) for node in reversed(tree.body)]
    while pending:
        node, prefix = pending.pop()
        inner: list[ast.stmt | ast.ExceptHandler] = []
        name = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{node.name}"
            documentation = ast.get_docstring(node)
            if documentation:
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                yield Entry(
                    name=name,
                    kind=kind,
                    signature=_signature(node),
                    documentation=documentation,
                    group=module,
                    licence=licence,
                )
            inner = list(node.body) if isinstance(node, ast.ClassDef) else []
        elif isinstance(node, ast.If | ast.Try):
            handlers = node.handlers if isinstance(node, ast.Try) else []
            inner = [*node.body, *node.orelse, *handlers]
        elif isinstance(node, ast.ExceptHandler):
            inner = list(node.body)
        pending.extend((child, name) for child in reversed(inner))


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """As written; a class is called with the parameters of its ``__init__``."""
    if isinstance(node, ast.ClassDef):
        inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return f"({ast.unparse(inits[-1].args)})" if inits else "()"
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(node.args)}){result}"


def _native(tree: ast.Module, package: str, licence: str) -> Iterator[Entry]:
    """Functions written in C, whose docstrings are given in calls at the level of the module.

    torch has ``add_docstr(torch.abs, "...")`` and ``add_docstr_all("abs", "...")``; numpy has
    ``add_newdoc("numpy", "abs", "...")`` and, since 2.4, ``_array_method_doc("flatten", "order='C'", "...")``.
    """
    for statement in tree.body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        found = _native_name_and_text(call, call.func.id)
        if found is None:
            continue
        name, text = found
        signature, documentation = _signature_line(name.rpartition(".")[2], inspect.cleandoc(text))
        if documentation:
            leaf = name.rpartition(".")[2].strip("_")
            yield Entry(
                name=name,
                kind="function",
                signature=signature,
                documentation=documentation,
                group=f"{package}.{leaf}",
                licence=licence,
            )


def _native_name_and_text(call: ast.Call, function: str) -> tuple[str, str] | None:
    arguments = call.args
    if function == "add_docstr" and len(arguments) == 2:
        name, text = ast.unparse(arguments[0]), _string(arguments[1])
    elif function == "add_docstr_all" and len(arguments) == 2:
        name, text = f"torch.Tensor.{_string(arguments[0])}", _string(arguments[1])
    elif function == "add_newdoc" and len(arguments) == 3:
        name, text = f"{_string(arguments[0])}.{_string(arguments[1])}", _string(arguments[2])
        pair = arguments[2]
        if isinstance(pair, ast.Tuple) and len(pair.elts) == 2:
            name, text = f"{name}.{_string(pair.elts[0])}", _string(pair.elts[1])
    elif function == "_array_method_doc" and len(arguments) == 3:
        leaf, parameters = _string(arguments[0]), _string(arguments[1])
        name, text = f"numpy.ndarray.{leaf}", f"{leaf}({parameters})\n\n{inspect.cleandoc(_string(arguments[2]))}"
    else:
        return None
    return (name, text) if text else None


def _signature_line(name: str, text: str) -> tuple[str, str]:
    """Split the first line off where it is a signature, such as ``abs(input, *, out=None) -> Tensor``."""
    first, _, rest = text.partition("\n")
    if first.startswith(f"{name}(") and ")" in first:
        return first[len(name) :].strip(), rest.strip("\n")
    return "", text


def _string(node: ast.expr | None) -> str:
    """The text of a string, also inside ``"...".format(...)``, whose stand-ins on lines of their own are removed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _string(node.left) + _string(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        text = _PLACEHOLDER_LINE.sub("", _string(node.func.value))
        return text.replace("{{", "{").replace("}}", "}")
    return ""
