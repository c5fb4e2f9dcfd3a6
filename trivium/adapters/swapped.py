"""Modules that an adapter replaces instead of adding to them: in each adapter's rows its own stands in their place."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Placing, Routing
from trivium.adapters.head_holder import HeadHolder
from trivium.adapters.holder import Holder, base_modules, held, require_place
from trivium.errors import Unsupported
from trivium.nn.head import OutputHead


class StandIn(nn.Module, ABC):
    """What one adapter has in the place of a module of the base; it is called with that module and its arguments."""

    @abstractmethod
    def merged(self, base: nn.Module) -> nn.Module:
        """A plain module that gives the same, without gradients; ``Unsupported`` where it would part tied weights."""

    @abstractmethod
    def unmerge(self) -> None:
        """Forget what ``merged`` made."""


class Swapped(Holder, ABC):
    """A frozen module and what stands in its place for any number of adapters."""

    def __init__(self, base: nn.Module, routing: Routing) -> None:
        super().__init__(base, routing)
        self.unmerged: nn.Module | None = None

    def add(self, name: str, part: StandIn) -> None:
        """The part of the adapter ``name``."""
        self.updates[name] = part

    @torch.no_grad()
    def merge(self, name: str) -> None:
        assert self.unmerged is None
        self.base, self.unmerged = self._part(name).merged(self.base), self.base

    def unmerge(self) -> None:
        assert self.unmerged is not None
        self.base, self.unmerged = self.unmerged, None
        for part in self.updates.children():
            cast(StandIn, part).unmerge()

    def _part(self, name: str) -> StandIn:
        return cast(StandIn, self.updates[name])


class SwappedModule(Swapped):
    """A linear layer, a norm or an embedding: of one argument."""

    @property
    def weight(self) -> Float[Tensor, "_ _"]:
        """The base's table: models take its dtype and device for what they make new. Of embeddings only."""
        if not isinstance(self.base, nn.Embedding):
            raise Unsupported(
                "a copy of a layer that the model takes apart instead of calling it",
                received=type(self.base).__name__,
                fix="put a LoRA on it",
            )
        return self.base.weight

    def forward(self, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "..."]:
        routing = self.routing
        if routing.rows is None:
            name = routing.active
            if name is None or name not in self.updates or name == routing.merged:
                return self.base(x)
            return self._part(name)(self.base, x)
        return self.changed(lambda name, rows, _: self._part(name)(self.base, rows), x, self.base(x))


class SwappedHead(Swapped, HeadHolder):
    """An output head, which is also called for losses."""

    def said(self, name: str | None, hidden: Float[Tensor, "... D"], *given: object) -> Float[Tensor, "..."]:
        return self.base(hidden, *given) if name is None else self._part(name)(self.base, hidden, *given)


def require_swappable(model: nn.Module, path: str) -> None:
    """``Unsupported`` where an adapter of another kind stands at ``path`` of the base."""
    require_place(model, path, _kind(base_modules(model)[path]))


def placing(model: nn.Module, parts: Mapping[str, StandIn]) -> Placing:
    """What puts ``parts`` into ``model``, by our names of the modules that they stand for; all are swappable."""
    kinds = {path: _kind(base_modules(model)[path]) for path in parts}

    def place(name: str, adapters: AdapterSet) -> None:
        for path, part in parts.items():
            layer = held(model, path, kinds[path], lambda base, kind=kinds[path]: kind(base, adapters.routing))
            cast(Swapped, layer).add(name, part)

    return place


def _kind(base: nn.Module) -> type[SwappedHead | SwappedModule]:
    return SwappedHead if isinstance(base, OutputHead) else SwappedModule
