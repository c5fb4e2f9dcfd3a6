"""Trivium: the foundations of language models in one system, from raw text to a model you can talk to.

    import trivium

    model = trivium.load("runs/quickstart/checkpoints/best")
    print(model.generate("def ", max_new_tokens=40)[0].text)

The names below are imported on first use, so `import trivium` costs next to nothing.
"""

import importlib
import typing

__version__ = "0.1.0"

# The one table of public names: name -> (module, attribute); attribute None is the module itself.
_PUBLIC: dict[str, tuple[str, str | None]] = {
    "load": ("trivium.lm.load", "load"),
    "save": ("trivium.lm.load", "save"),
    "LanguageModel": ("trivium.lm.protocol", "LanguageModel"),
    "Unsupported": ("trivium.errors", "Unsupported"),
    "TriviumError": ("trivium.errors", "TriviumError"),
    "UserError": ("trivium.errors", "UserError"),
    "architectures": ("trivium.models.table", "architectures"),
    "tokenizers": ("trivium.tokenizers", None),
    "training": ("trivium.training", None),
    "evaluation": ("trivium.evaluation", None),
    "sandbox": ("trivium.sandbox", None),
    "quickstart": ("trivium.recipes.quickstart", "quickstart"),
    "prepare": ("trivium.recipes.prepare", "prepare"),
    "pretrain": ("trivium.recipes.pretrain", "pretrain"),
    "gan": ("trivium.recipes.gan", "gan"),
    "finetune": ("trivium.recipes.finetune", "finetune"),
    "train": ("trivium.recipes.train", "train"),
    "align": ("trivium.recipes.align.run", "align"),
    "predict": ("trivium.recipes.predict", "predict"),
    "evaluate": ("trivium.recipes.evaluate", "evaluate"),
}

__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> typing.Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'trivium' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = importlib.import_module(module)
    if attribute is not None:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
