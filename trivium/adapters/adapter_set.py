"""What a model with adapters remembers of them: ``model.adapters``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported


@dataclass
class Routing:
    """Which adapter the wrapped layers of one model apply; they all hold this one object."""

    active: str | None = None
    """Adapter of every row while no rows are routed."""
    rows: dict[str, Int[Tensor, "N"]] | None = None
    """Under ``route``: the row (or, in a ragged step, token) indices of each adapter."""
    extent: int = 0
    """Under ``route``: how many rows (or tokens) a batch has."""
    ragged: bool = False
    """Under ``route``: the indices count the tokens of a ``[1, N]`` step instead of rows."""
    merged: str | None = None
    """Adapter that is folded into the base weights."""


class AdapterSet(nn.Module):
    """Names and configurations of a model's adapters; what they begin texts with lives here, the rest in holders."""

    def __init__(self) -> None:
        super().__init__()
        self.configs: dict[str, Any] = {}
        self.prompts = nn.ModuleDict()
        """By adapter name: prefixes and soft prompts."""
        self.routing = Routing()

    def require(self, name: str) -> None:
        """``ConfigError`` with the names there are unless ``name`` is one."""
        if name not in self.configs:
            raise ConfigError(
                f"no adapter is called {name!r}",
                received=name,
                expected=", ".join(sorted(self.configs)) or "none is attached",
                fix="attach or load it first",
            )

    def require_unmerged(self, what: str) -> None:
        """``Unsupported`` while an adapter is folded into the weights."""
        if self.routing.merged is not None:
            raise Unsupported(
                f"{what} while an adapter is merged into the weights",
                received=f"{self.routing.merged!r} is merged",
                fix="call unmerge(model) first",
            )


Placing = Callable[[str, AdapterSet], None]
"""What puts a prepared adapter into its model under a name; it cannot fail."""


def has_adapters(model: nn.Module) -> bool:
    """Whether an adapter is attached to ``model``, active or not."""
    return isinstance(getattr(model, "adapters", None), AdapterSet)


def adapters_of(model: nn.Module) -> AdapterSet:
    """The adapters of ``model``; ``ConfigError`` where it has none."""
    found = getattr(model, "adapters", None)
    if not isinstance(found, AdapterSet):
        raise ConfigError("the model has no adapters", fix="attach(model, name, config) or load_peft(model, folder)")
    return found


def first_weight(model: nn.Module) -> Tensor:
    """A floating parameter whose dtype and device new adapter weights take."""
    parameters = (parameter for parameter in model.parameters() if parameter.is_floating_point())
    found = next(parameters, None)
    return torch.empty(0) if found is None else found
