"""Nothing that Trivium loads can run code: proved on the source of the package, over every file and every route."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[2] / "trivium"
# The one file whose purpose it is, in a process that the kernel holds: docs/sandbox.md.
RUNS_PROGRAMS = PACKAGE / "sandbox" / "program.py"
FILES = sorted(set(PACKAGE.rglob("*.py")) - {RUNS_PROGRAMS})

FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "transformers",
}
FORBIDDEN_CALLS = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "compile": "makes code of text",
    "__import__": "imports what a text names",
    "torch.load": "unpickles",
    "torch.save": "pickles",
    "numpy.load": "may unpickle",
    "np.load": "may unpickle",
    "yaml.load": "builds any object: use yaml.safe_load",
    "yaml.unsafe_load": "builds any object",
    "yaml.full_load": "builds objects",
    "os.system": "runs a shell",
    "os.popen": "runs a shell",
    "dist.all_gather_object": "pickles between processes",
    "dist.broadcast_object_list": "pickles between processes",
    "dist.gather_object": "pickles between processes",
    "dist.scatter_object_list": "pickles between processes",
}
FORBIDDEN_METHODS = {"extractall": "may write outside its folder"}
FORBIDDEN_KEYWORDS = {"shell", "trust_remote_code", "allow_pickle"}


def faults(source: str) -> list[str]:
    """Every forbidden import, call and argument in a Python source, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found += [f"{node.lineno}: imports {n}" for n in names if n.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module.split(".")[0] in FORBIDDEN_MODULES:
                found.append(f"{node.lineno}: imports {node.module}")
            full = {f"{node.module}.{alias.name}" for alias in node.names} & set(FORBIDDEN_CALLS)
            found += [f"{node.lineno}: imports {name}: {FORBIDDEN_CALLS[name]}" for name in full]
        elif isinstance(node, ast.Call):
            found += faults_of_call(node)
    return found


def faults_of_call(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    found = []
    if name in FORBIDDEN_CALLS and name != "compile":
        found.append(f"{node.lineno}: calls {name}: {FORBIDDEN_CALLS[name]}")
    if name == "compile":  # the builtin, not torch.compile or re.compile
        found.append(f"{node.lineno}: calls compile")
    if isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_METHODS:
        found.append(f"{node.lineno}: calls {name}: {FORBIDDEN_METHODS[node.func.attr]}")
    for keyword in node.keywords:
        off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in FORBIDDEN_KEYWORDS and not off:
            found.append(f"{node.lineno}: passes {keyword.arg}")
    return found


def test_there_are_files_to_look_at():
    assert len(FILES) > 10


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_the_package_holds_no_route_to_foreign_code(file):
    assert faults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import torch, pickle as p",
        "from pickle import loads",
        "from transformers import AutoModel",
        "import transformers.models.gpt2",
        "def f():\n    import dill",
        "torch.load('x')",
        "from torch import load",
        "eval('1')",
        "exec(text)",
        "compile(text, 'f', 'exec')",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run('ls', shell=True)",
        "tar.extractall('.')",
        "AutoModel.from_pretrained(p, trust_remote_code=True)",
        "numpy.memmap('x', allow_pickle=True)",
        "dist.all_gather_object(out, value)",
    ],
)
def test_the_scan_sees_each_forbidden_thing(source):
    assert len(faults(source)) == 1


@pytest.mark.parametrize("source", ["model.eval()", "re.compile('a')", "torch.compile(model)", "yaml.safe_load(t)"])
def test_the_scan_leaves_innocent_code_alone(source):
    assert faults(source) == []
