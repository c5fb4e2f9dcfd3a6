"""Modules that an adapter replaces instead of adding to them: in each adapter's rows its own stands in their place."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Placing, Routing
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

    def _sole(self) -> str | None:
        """The adapter of every row, where no rows are routed and it has a part here that is not merged."""
        name = self.routing.active
        return name if name is not None and name in self.updates and name != self.routing.merged else None


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
        if self.routing.rows is None:
            name = self._sole()
            return self.base(x) if name is None else self._part(name)(self.base, x)
        return self.changed(lambda name, rows, _: self._part(name)(self.base, rows), x, self.base(x))


class SwappedHead(Swapped):
    """An output head, which is also called for losses."""

    def forward(
        self,
        hidden: Float[Tensor, "... D"],
        targets: Int[Tensor, "..."] | None = None,
        weights: Float[Tensor, "..."] | None = None,
        reduce: bool = False,
        smoothing: float | None = None,
        normaliser: bool = False,
    ) -> Float[Tensor, "..."]:
        """As `OutputHead`. ``Unsupported`` for a sum over rows that have different heads."""
        routing, options = self.routing, (weights, reduce, smoothing, normaliser)
        if routing.rows is None:
            return self._said(self._sole(), hidden, targets, *options)
        counts = {name: len(index) for name, index in routing.rows.items() if name in self.updates and len(index)}
        if not counts or routing.extent in counts.values():
            return self._said(next(iter(counts), None), hidden, targets, *options)
        if reduce or normaliser:
            raise Unsupported(
                "one loss of rows whose output heads are different ones",
                received=", ".join(sorted(counts)),
                fix="train one adapter at a time: activate(model, name)",
            )
        given = (hidden,) if targets is None else (hidden, targets)
        return self.changed(lambda name, *rows: self._said(name, *rows[:-1]), *given, self.base(*given))

    logits = OutputHead.logits
    log_prob = OutputHead.log_prob
    nll_sum = OutputHead.nll_sum
    log_normaliser = OutputHead.log_normaliser
    smoothed_nll_sum = OutputHead.smoothed_nll_sum

    def _said(self, name: str | None, *given: object) -> Tensor:
        return self.base(*given) if name is None else self._part(name)(self.base, *given)


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
