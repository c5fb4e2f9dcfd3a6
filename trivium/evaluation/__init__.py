"""How good a model is, and what is inside it."""

import importlib
from types import ModuleType

_PARTS = ("metrics", "intervals", "perplexity", "tasks", "harness")


def __getattr__(name: str) -> ModuleType:
    """``trivium.evaluation.metrics`` without importing it first, as public names go."""
    if name not in _PARTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
