"""What a program may read: Python's standard library, and the shared libraries of the folders that Python's lie in."""

import importlib
import os
import sys

# Imported beforehand where the program will not reach the library itself.
_COMMON = """
    bisect calendar cmath collections copy dataclasses datetime decimal enum fractions functools heapq io itertools
    json math operator random re statistics string textwrap time traceback typing unicodedata
"""


def folders() -> list[str]:
    """The standard library as `sys.path` names it under `-I -S`, and the folders of the shared libraries in use."""
    with open("/proc/self/maps") as maps:
        mapped = {"/" + line.rstrip("\n").partition("/")[2] for line in maps}
    libraries = [path for path in mapped if ".so" in path and not path.endswith(" (deleted)")]
    once = dict.fromkeys(_standard() + [os.path.dirname(os.path.realpath(path)) for path in sorted(libraries)])
    return [path for path in once if not any(path.startswith(other + "/") for other in once)]


def packages() -> list[str]:
    """The folders of installed packages within: they are the user's business, and are hidden from the program."""
    inside = [f"{folder}/{name}" for folder in _standard() for name in ("site-packages", "dist-packages")]
    return [path for path in inside if os.path.isdir(path)]


def readable() -> list[str]:
    """The same as `folders`, but taken apart where installed packages lie within: what Landlock lets be read."""
    hidden = packages()
    return [path for folder in folders() for path in _apart(folder, hidden)]


def import_common() -> None:
    """Imports what programs use most."""
    for name in _COMMON.split():
        importlib.import_module(name)


def _standard() -> list[str]:
    return [os.path.realpath(path) for path in sys.path if os.path.exists(path)]


def _apart(path: str, hidden: list[str]) -> list[str]:
    if path in hidden:
        return []
    if not any(other.startswith(path + "/") for other in hidden):
        return [path]
    return [found for name in os.listdir(path) for found in _apart(f"{path}/{name}", hidden)]
