"""Every method of adapting a model with small parts: its configuration, and how it is put in place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trivium.adapters import lora, prefix
from trivium.adapters.adapter_set import Placing
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig

AdapterConfig = LoRAConfig | PrefixConfig


@dataclass(frozen=True, kw_only=True)
class Method:
    """What the rest of the package asks of a method."""

    name: str
    """As people call it."""
    config: type
    """Its settings."""
    prepare: Callable[[Any, Any], Placing]
    """``prepare(model, config)`` builds the parts and refuses what cannot be, before the model is touched."""
    merges: bool
    """Whether plain weights can express it."""


METHODS = (
    Method(name="LoRA", config=LoRAConfig, prepare=lora.prepare, merges=True),
    Method(name="prefix", config=PrefixConfig, prepare=prefix.prepare, merges=False),
)


def method_of(config: AdapterConfig) -> Method:
    """The method that ``config`` belongs to."""
    return next(method for method in METHODS if isinstance(config, method.config))
