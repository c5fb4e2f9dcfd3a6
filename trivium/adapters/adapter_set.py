"""What a model with adapters remembers of them: ``model.adapters``."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported

Made = TypeVar("Made")
_WRITTEN = operator.attrgetter("_version")


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The rows of n adapters, m each: an adapter that has fewer computes its first one more often than once."""

    taken: Int[Tensor, "_ _"]
    """Which rows, [n, m]."""
    rows: Int[Tensor, "_"]
    """The k rows, each once."""
    places: Int[Tensor, "_"]
    """Where each of ``rows`` stands in ``taken``, flat; [k]."""
    in_order: bool
    """Whether the rows are all there are, one an adapter, in the order of the adapters: nothing is to be gathered."""

    @classmethod
    def of(cls, rows: Sequence[Int[Tensor, "_"]], *, extent: int) -> "Groups":
        """``rows[i]`` are those of adapter i, at least one each, of a batch of ``extent``."""
        most = max(index.shape[0] for index in rows)
        taken = torch.stack([torch.cat([index, index[:1].expand(most - index.shape[0])]) for index in rows])
        places = torch.cat([torch.arange(len(index), device=index.device) + i * most for i, index in enumerate(rows)])
        in_order = torch.equal(taken, torch.arange(extent, device=taken.device).unsqueeze(1))
        return cls(taken=taken, rows=torch.cat(list(rows)), places=places, in_order=in_order)


class Kept(Generic[Made]):
    """What a layer has made of the parameters of some adapters, for as long as these are what they were.

    It is asked at every step of decoding by every layer, so that a microsecond counts.
    """

    def __init__(self, *, names: tuple[str, ...], parameters: Sequence[nn.Parameter], owner: nn.Module, made: Made):
        """``owner`` has the first of ``parameters``."""
        self.names, self.made = names, made
        self._parameters, self._owned = parameters, owner._parameters
        (self._key,) = (key for key, own in self._owned.items() if own is parameters[0])
        self._state = self._present()

    def holds(self) -> bool:
        """Whether it is still right. A model that moves to another device gets new parameters, all of them at once."""
        return self._owned[self._key] is self._parameters[0] and self._state == self._present()

    def _present(self) -> list[int]:
        """Where the numbers lie, and how often they were written to."""
        return [*map(Tensor.data_ptr, self._parameters), *map(_WRITTEN, self._parameters)]


@dataclass
class Routing:
    """Which adapter the wrapped layers of one model apply; they all hold this one object."""

    active: str | None = None
    """Adapter of every row while no rows are routed."""
    rows: dict[str, Int[Tensor, "N"]] | None = None
    """Under ``route``: the row (or, in a ragged step, token) indices of each adapter."""
    groups: dict[tuple[str, ...], "Groups"] = field(default_factory=dict)
    """Under ``route``: ``rows`` once more, as batched products need them; made when first asked for."""
    used: dict[nn.Module, dict[str, Int[Tensor, "N"]]] = field(default_factory=dict)
    """Under ``route``: of ``rows`` those that have a part in a layer; made when first asked for."""
    joined: dict[nn.Module, Kept[Any]] = field(default_factory=dict)
    """What layers keep of the adapters they last applied, while nothing is trained; emptied when one is removed."""
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
        self.made_of: dict[str, tuple[str, ...]] = {}
        """Of an adapter that is made of others (a fusion): their names."""

    def require(self, name: str) -> None:
        """``ConfigError`` with the names there are unless ``name`` is one."""
        if name not in self.configs:
            raise ConfigError(
                f"no adapter is called {name!r}",
                received=name,
                expected=", ".join(sorted(self.configs)) or "none is attached",
                fix="attach or load it first",
            )

    def require_unneeded(self, name: str) -> None:
        """``Unsupported`` while another adapter is made of ``name``."""
        users = [user for user, parts in self.made_of.items() if name in parts]
        if users:
            raise Unsupported(
                "removing an adapter that another is made of",
                received=f"{name!r}, which {', '.join(users)} needs",
                fix=f"remove {users[0]} first",
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
