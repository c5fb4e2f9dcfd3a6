"""A linear layer under adapters: low-rank updates, rescaled rows, whatever a `LinearUpdate` says.

One fused matrix of ours may hold several published ones (q, k, v): each update covers a range of its output rows.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Routing
from trivium.adapters.holder import Holder, held
from trivium.adapters.sites import Site
from trivium.nn.linear import Linear
from trivium.nn.quantized import NF4Linear


class LinearUpdate(nn.Module, ABC):
    """What one adapter makes of one published linear layer: the rows ``start : start + rows`` of ours."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.theirs, self.start, self.rows = site.theirs, site.start, site.rows

    @abstractmethod
    def inputs(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """What the base reads instead of ``x``; only where the update covers all rows may it differ."""

    @abstractmethod
    def outputs(
        self, x: Float[Tensor, "... D"], y: Float[Tensor, "... F"], base: nn.Linear | NF4Linear
    ) -> Float[Tensor, "... F"]:
        """The layer's outputs, where the base gives ``y`` for ``x`` (its bias included)."""

    @abstractmethod
    def merged(self, weight: Float[Tensor, "F D"], bias: Float[Tensor, "F"] | None) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the plain layer that gives the same; in the dtype of ``weight``, which may be changed."""


class AdaptedLinear(Holder):
    """A frozen linear layer and the updates of any number of adapters."""

    def __init__(self, base: nn.Linear | NF4Linear, routing: Routing) -> None:
        super().__init__(base, routing)
        self.base: nn.Linear | NF4Linear = base
        self.unmerged: nn.Linear | NF4Linear | None = None
        self.in_features, self.out_features = base.in_features, base.out_features

    def add(self, name: str, update: LinearUpdate) -> None:
        """One more range of rows for the adapter ``name``."""
        if name not in self.updates:
            self.updates[name] = nn.ModuleList()
        updates = self.updates[name]
        assert isinstance(updates, nn.ModuleList)
        updates.append(update)

    def updates_of(self, name: str) -> list[LinearUpdate]:
        """The adapter's updates, whose row ranges ascend."""
        return [update for update in self.updates[name].children() if isinstance(update, LinearUpdate)]

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... F"]:
        x = self.changed(self._inputs, x)
        return self.changed(self._outputs, x, self.base(x))

    def _inputs(self, name: str, x: Tensor) -> Tensor:
        for update in self.updates_of(name):
            x = update.inputs(x)
        return x

    def _outputs(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """One new tensor, however many updates there are."""
        pieces, position = [], 0
        for update in self.updates_of(name):
            assert update.start >= position
            pieces.append(y[..., position : update.start])
            position = update.start + update.rows
            pieces.append(update.outputs(x, y[..., update.start : position], self.base))
        return torch.cat([*pieces, y[..., position:]], dim=-1)

    def merge(self, name: str) -> None:
        """Fold the adapter's updates into the weight, in fp32 (or fp64, where W is), then rounded once.

        The old weight is kept beside it, so that ``unmerge`` gives it back bit for bit. An NF4 base becomes a full
        matrix in the adapter's dtype: rounding the sum to 4 bits again would lose most of the update.
        """
        assert self.unmerged is None
        old = self.base
        dtype = next(self.updates[name].parameters()).dtype if isinstance(old, NF4Linear) else old.weight.dtype
        wide = torch.promote_types(dtype, torch.float32)
        weight = old.weight_in(wide) if isinstance(old, NF4Linear) else old.weight.detach().to(wide, copy=True)
        bias = None if old.bias is None else old.bias.detach().to(wide, copy=True)
        for update in self.updates_of(name):
            own = slice(update.start, update.start + update.rows)
            weight[own], changed = update.merged(weight[own], None if bias is None else bias[own])
            if bias is not None and changed is not None:
                bias[own] = changed
        merged = Linear(self.in_features, self.out_features, bias=False, device="meta")
        merged.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
        merged.bias = None if bias is None else nn.Parameter(bias.to(dtype), requires_grad=False)
        self.base, self.unmerged = merged, old

    def unmerge(self) -> None:
        assert self.unmerged is not None
        self.base, self.unmerged = self.unmerged, None


def adapted_linear(model: nn.Module, path: str, adapters: AdapterSet) -> AdaptedLinear:
    """The linear layer at ``path``, wrapped."""

    def wrapped(module: nn.Module) -> Holder:
        assert isinstance(module, nn.Linear | NF4Linear)
        return AdaptedLinear(module, adapters.routing)

    layer = held(model, path, AdaptedLinear, wrapped)
    assert isinstance(layer, AdaptedLinear)
    return layer
