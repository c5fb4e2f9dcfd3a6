"""The flags of a verb, read from the source of its settings: nothing is imported, so that an answer takes no time.

A shell completes a word, and a misspelt flag is told, before torch could have been loaded. What is read is what `tyro`
makes of a dataclass: a flag a field, `--part.field` for a field of a part, the text under a field as its help.
"""

import ast
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Iterator

_WITHOUT_PREFIX = "OmitArgPrefixes"
_PACKAGE = pathlib.Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flag:
    """One setting as a flag."""

    name: str
    """With its dashes: `--model.width`."""
    help: str
    """The first sentence of what it means."""
    is_switch: bool = False
    """It takes no value; `--no-...` turns it off."""
    is_required: bool = False
    """There is no default."""
    choices: tuple[str, ...] = ()
    """The values it takes, where they can be listed."""
    takes: str = "a text"
    """What its value is, in words."""
    takes_several: bool = False
    """It takes any number of values."""

    @property
    def spellings(self) -> tuple[str, ...]:
        """The flag, and what turns a switch off."""
        head, _, last = self.name.removeprefix("--").rpartition(".")
        off = f"--{head}.no-{last}" if head else f"--no-{last}"
        return (self.name, off) if self.is_switch else (self.name,)


@functools.cache
def flags_of(settings: str) -> tuple[Flag, ...]:
    """The flags of a dataclass, named as "package.module:Class", in the order of its fields."""
    module, _, name = settings.partition(":")
    found = _find(module, name)
    assert found is not None and isinstance(found[1], ast.ClassDef), f"there is no class {settings}"
    return tuple(_fields(found[0], found[1], prefix=""))


def spelled(word: str) -> str:
    """The flag in a word of the command line: without its value, with dashes for underscores."""
    return word.partition("=")[0].replace("_", "-")


def _fields(module: str, node: ast.ClassDef, prefix: str | None) -> Iterator[Flag]:
    """`prefix` is the part that the fields belong to, with a full stop; None where names of parts are left out."""
    for field, (place, statement, text) in _declared(module, node).items():
        annotation, name = statement.annotation, field.replace("_", "-")
        inner = None if prefix is None else f"{prefix}{name}."
        if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith(_WITHOUT_PREFIX):
            annotation, inner = annotation.slice, None
        origin, named = _resolved(place, annotation) or (place, annotation)
        if isinstance(named, ast.ClassDef):
            yield from _fields(origin, named, inner)
            continue
        if _is_part_or_none(place, annotation):  # a recipe file can give it, and the command line cannot
            continue
        # Where the annotation is a name for a type, such as Precision, that type.
        yield _flag(f"--{prefix or ''}{name}", origin, named, statement.value, text)


def _declared(module: str, node: ast.ClassDef) -> dict[str, tuple[str, ast.AnnAssign, str]]:
    """Field -> (module, declaration, text under it): those of its bases first, a field that is declared anew in its old
    place, as a dataclass has them."""
    found: dict[str, tuple[str, ast.AnnAssign, str]] = {}
    for base in node.bases:
        origin, named = _resolved(module, base) or (module, base)
        if isinstance(named, ast.ClassDef):
            found |= _declared(origin, named)
    for index, statement in enumerate(node.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = (module, statement, _text_under(node.body, index))
    return found


def _flag(name: str, module: str, annotation: ast.expr, default: ast.expr | None, text: str) -> Flag:
    choices = tuple(_choices(module, annotation))
    return Flag(
        name=name,
        help=text.split(". ")[0].split("; ")[0].rstrip("."),
        is_switch=ast.unparse(annotation) == "bool",
        is_required=default is None,
        choices=choices,
        takes_several=_is_several(ast.unparse(annotation)),
        takes="one of " + ", ".join(choices) if choices else _in_words(ast.unparse(annotation)),
    )


def _choices(module: str, annotation: ast.expr) -> Iterator[str]:
    """The values of a `Literal` in a module, and of others that it names."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith("Literal"):
        values = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        for value in values:
            origin, named = _resolved(module, value) or (module, value)
            if named is value:
                yield str(ast.literal_eval(value))
            elif isinstance(named, ast.expr):
                yield from _choices(origin, named)
    elif isinstance(annotation, ast.BinOp):
        origin, named = _resolved(module, annotation.left) or (module, annotation.left)
        if isinstance(named, ast.expr):
            yield from _choices(origin, named)
        if ast.unparse(annotation.right) != "None":
            yield from _choices(module, annotation.right)


def _is_part_or_none(module: str, annotation: ast.expr) -> bool:
    """Whether an annotation is a class of settings | None."""
    if not isinstance(annotation, ast.BinOp):
        return False
    sides = [_resolved(module, side) for side in (annotation.left, annotation.right)]
    return any(side is not None and isinstance(side[1], ast.ClassDef) for side in sides)


def _in_words(annotation: str) -> str:
    kinds = {"int": "a whole number", "float": "a number", "bool": "True or False", "Path": "a path"}
    # The widest first: a float is asked for where a whole number would do as well.
    words = next((words for kind, words in reversed(kinds.items()) if kind in annotation), "a text")
    several = "one or more, each " if _is_several(annotation) else ""
    return several + words + (", or None" if annotation.endswith("| None") else "")


def _is_several(annotation: str) -> bool:
    return annotation.startswith("tuple[") and "..." in annotation


def _text_under(body: list[ast.stmt], index: int) -> str:
    following = body[index + 1] if index + 1 < len(body) else None
    if not isinstance(following, ast.Expr) or not isinstance(following.value, ast.Constant):
        return ""
    return " ".join(str(following.value.value).split())


def _resolved(module: str, annotation: ast.expr) -> tuple[str, ast.ClassDef | ast.expr] | None:
    """(module, what an annotation names there): a class or the type it stands for; None for anything else."""
    if isinstance(annotation, ast.Name):
        return _find(module, annotation.id)
    if isinstance(annotation, ast.Attribute) and isinstance(annotation.value, ast.Name):
        origin = _imports(module).get(annotation.value.id)
        return None if origin is None else _find(f"{origin[0]}.{origin[1]}", annotation.attr)
    return None


def _find(module: str, name: str) -> tuple[str, ast.ClassDef | ast.expr] | None:
    tree = _tree(module)
    if tree is None:
        return None
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            return module, statement
        if isinstance(statement, ast.Assign) and any(ast.unparse(target) == name for target in statement.targets):
            return module, statement.value
    origin = _imports(module).get(name)
    return None if origin is None else _find(*origin)


@functools.cache
def _imports(module: str) -> dict[str, tuple[str, str]]:
    """name -> (module, name there) of what a module imports from others of this package."""
    tree = _tree(module)
    found = {}
    for statement in tree.body if tree is not None else ():
        if isinstance(statement, ast.ImportFrom) and statement.module and statement.module.split(".")[0] == "trivium":
            found |= {alias.asname or alias.name: (statement.module, alias.name) for alias in statement.names}
    return found


@functools.cache
def _tree(module: str) -> ast.Module | None:
    path = _source(module)
    return None if path is None else ast.parse(path.read_text(encoding="utf-8"))


def _source(module: str) -> pathlib.Path | None:
    """The file of a module of this package, found without importing anything; of another, if it is imported already."""
    first, *rest = module.split(".")
    if first != __name__.partition(".")[0]:
        file = getattr(sys.modules.get(module), "__file__", None)
        return None if file is None else pathlib.Path(file)
    path = _PACKAGE.joinpath(*rest)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
