"""A linear layer under adapters: low-rank updates, rescaled rows, whatever a `LinearUpdate` says.

One fused matrix of ours may hold several published ones (q, k, v): each update covers a range of its output rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Groups, Kept, Routing
from trivium.adapters.holder import Holder, held
from trivium.adapters.sites import Site
from trivium.errors import Unsupported
from trivium.nn.linear import Linear, linear
from trivium.nn.packed import Packable, Product
from trivium.nn.quantized import NF4Linear

Made = TypeVar("Made")
_FEW_TOKENS = 8
"""Tokens an adapter up to which the adapters of a batch are computed together (measured at 16 of rank 8)."""

Factors = tuple[Float[Tensor, "_ _"], Float[Tensor, "_ _"]]
"""A ``[R, D]`` and B ``[F, R]`` of an update that adds B A x."""


class LinearUpdate(nn.Module, ABC):
    """What one adapter makes of one published linear layer: the rows ``start : start + rows`` of ours."""

    changes_inputs: bool
    """Whether ``inputs`` is not the identity."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.theirs, self.start, self.rows = site.theirs, site.start, site.rows

    @abstractmethod
    def inputs(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """What the base reads instead of ``x``; only where the update covers all rows may it differ."""

    @abstractmethod
    def factors(self) -> Factors | None:
        """Where all that the update does now is to add B A x: these two, so that several updates are one product."""

    @abstractmethod
    def outputs(
        self, x: Float[Tensor, "... D"], y: Float[Tensor, "... F"], base: nn.Linear | NF4Linear
    ) -> Float[Tensor, "... F"]:
        """The layer's outputs, where the base gives ``y`` for ``x`` (its bias included)."""

    @abstractmethod
    def merged(self, weight: Float[Tensor, "F D"], bias: Float[Tensor, "F"] | None) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the plain layer that gives the same, in the dtype of ``weight``; a bias comes out where
        one went in. ``Unsupported`` where it would need a bias that is not there."""


class AdaptedLinear(Holder, Packable):
    """A frozen linear layer and the updates of any number of adapters."""

    def __init__(self, base: nn.Linear | NF4Linear, routing: Routing) -> None:
        super().__init__(base, routing)
        self.base: nn.Linear | NF4Linear = base
        self.unmerged: nn.Linear | NF4Linear | None = None
        self.in_features, self.out_features = base.in_features, base.out_features
        self.changes_inputs = False

    @property
    def weight(self) -> Float[Tensor, "F D"]:
        """The matrix as the active adapter has it, for layers that take it apart instead of calling this one.

        ``Unsupported`` while rows have different adapters.
        """
        base = self.base
        full = base.weight if isinstance(base, nn.Linear) else base.weight_in(self.dtype)
        if self.routing.rows is not None:
            names = {name for name, index in self.routing.rows.items() if name in self.updates and index.shape[0]}
            if names:
                raise Unsupported(
                    "different adapters for the rows of a layer that takes its matrix apart",
                    received=", ".join(sorted(names)),
                    fix="adapt other layers, or give all rows one adapter: activate(model, name)",
                )
            return full
        name = self.routing.active
        if name is None or name not in self.updates or name == self.routing.merged:
            return full
        pieces, position = [], 0
        for update in self.updates_of(name):
            own = full[update.start :][: update.rows]
            pieces += [full[position : update.start], update.merged(own, own.new_zeros(update.rows))[0]]
            position = update.start + update.rows
        return torch.cat([*pieces, full[position:]])

    @property
    def dtype(self) -> torch.dtype:
        """Of the adapters' numbers."""
        return next(self.updates.parameters()).dtype

    def add(self, name: str, update: LinearUpdate) -> None:
        """One more range of rows for the adapter ``name``."""
        if name not in self.updates:
            self.updates[name] = nn.ModuleList()
        updates = self.updates[name]
        assert isinstance(updates, nn.ModuleList)
        updates.append(update)
        self.changes_inputs |= update.changes_inputs

    def updates_of(self, name: str) -> list[LinearUpdate]:
        """The adapter's updates, whose row ranges ascend."""
        return [update for update in self.updates[name].children() if isinstance(update, LinearUpdate)]

    def product(self) -> Product | None:
        """With the active adapter's updates folded in; None where there are none, or no matrix can express them."""
        name = self.routing.active
        if name is None or name not in self.updates or name == self.routing.merged:
            return None
        if self.training or self.routing.rows is not None or isinstance(self.base, NF4Linear):
            return None
        try:
            return self._folded(name, self.base.weight.dtype)
        except Unsupported:
            return None

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... F"]:
        if self.packed is not None and self.packed.fits(x):
            return self.packed(x)
        if self.changes_inputs:
            x = self.changed(self._inputs, x)
        y = self.base(x)
        together = None if self.routing.rows is None else self._together(x, y)
        return self.changed(self._outputs, x, y) if together is None else together

    def _together(self, x: Float[Tensor, "... D"], y: Float[Tensor, "... F"]) -> Float[Tensor, "... F"] | None:
        """The outputs of all routed rows by batched products, an adapter each.

        None where some adapter adds anything else than B A x, or where rows are long and would have to be gathered: an
        adapter at a time is as fast then. For 16 rows of one token, as in decoding, that takes ten operations instead
        of two hundred.
        """
        routing = self.routing
        assert routing.rows is not None
        used = routing.used.get(self)
        if used is None:
            used = {name: index for name, index in routing.rows.items() if name in self.updates and index.shape[0]}
            routing.used[self] = used
        whole = x.shape[0] == (1 if routing.ragged else routing.extent) and (not routing.ragged or x.dim() == 3)
        if len(used) < 2 or not whole:
            return None
        names = tuple(used)
        groups = routing.groups.get(names)
        if groups is None:
            groups = routing.groups[names] = Groups.of(list(used.values()), extent=routing.extent)
        long = x.numel() // x.shape[-1] > _FEW_TOKENS * len(used)
        if long and (torch.is_grad_enabled() or not groups.in_order):
            return None
        stacked = self._kept(names, self._stacked)
        if stacked is None:
            return None
        rows_of_x, rows_of_y = (x[0], y[0]) if routing.ragged else (x, y)
        taken = rows_of_x.unsqueeze(1) if groups.in_order else rows_of_x[groups.taken]  # [n, m, ..., D]
        added = stacked.of(taken.flatten(1, -2))
        if groups.in_order:
            return y + added.view_as(y)
        added = added.view(-1, *taken.shape[2:-1], self.out_features)
        return torch.index_add(rows_of_y, 0, groups.rows, added[groups.places]).view_as(y)

    def _stacked(self, names: tuple[str, ...]) -> "_Stacked | None":
        """The factors of these adapters one upon another; None where one adds anything else than B A x."""
        updates = [{update.start: update for update in self.updates_of(name)} for name in names]
        starts = sorted({start for own in updates for start in own})
        found = [{start: update.factors() for start, update in own.items()} for own in updates]
        pairs = [pair for own in found for pair in own.values()]
        if any(pair is None for pair in pairs):
            return None
        rank = max(pair[0].shape[0] for pair in pairs if pair is not None)
        like, parts = next(pair for pair in pairs if pair is not None)[0], []
        downs = []
        for start in starts:
            rows = next(own[start].rows for own in updates if start in own)
            none = like.new_zeros(0, self.in_features), like.new_zeros(rows, 0)
            both = [own.get(start) or none for own in found]
            downs.append(torch.stack([F.pad(a, (0, 0, 0, rank - a.shape[0])) for a, _ in both]))
            parts.append((start, torch.stack([F.pad(b, (0, rank - b.shape[1])) for _, b in both])))
        return _Stacked(down=torch.cat(downs, dim=1), up=parts, rank=rank, rows=self.out_features)

    def _joint(self, names: tuple[str, ...]) -> Factors | None:
        """A and B of one adapter; None where it adds anything else."""
        updates = self.updates_of(names[0])
        factors = [pair for pair in (update.factors() for update in updates) if pair is not None]
        return _joined(updates, factors, self.out_features) if len(factors) == len(updates) else None

    def _kept(self, names: tuple[str, ...], make: Callable[[tuple[str, ...]], Made]) -> Made:
        """``make(names)``, made once while nothing is trained: it costs as much as the products themselves."""
        joined = self.routing.joined
        if torch.is_grad_enabled():
            joined.pop(self, None)
            return make(names)
        kept = joined.get(self)
        if kept is None or kept.names != names or not kept.holds():
            joined.pop(self, None)
            parameters = [parameter for name in names for parameter in self.updates[name].parameters()]
            if any(parameter.is_inference() for parameter in parameters):  # such do not tell of their changes
                return make(names)
            owner = next(part for part in self.updates[names[0]].modules() if part._parameters)
            joined[self] = kept = Kept(names=names, parameters=parameters, owner=owner, made=make(names))
        return kept.made

    def _inputs(self, name: str, x: Tensor) -> Tensor:
        for update in self.updates_of(name):
            x = update.inputs(x)
        return x

    def _outputs(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        updates = self.updates_of(name)
        found = self._kept((name,), self._joint)
        if found is not None:
            return y + linear(linear(x, found[0]), found[1])
        if len(updates) == 1 and updates[0].rows == self.out_features:
            return updates[0].outputs(x, y, self.base)
        pieces, position = [], 0
        for update in updates:
            assert update.start >= position
            pieces.append(y[..., position : update.start])
            position = update.start + update.rows
            pieces.append(update.outputs(x, y[..., update.start : position], self.base))
        return torch.cat([*pieces, y[..., position:]], dim=-1)

    @torch.no_grad()
    def merge(self, name: str) -> None:
        """Fold the adapter's updates into the weight, in fp32 (or fp64, where W is), then rounded once.

        The old weight is kept beside it, so that ``unmerge`` gives it back bit for bit. An NF4 base becomes a full
        matrix in the adapter's dtype: rounding the sum to 4 bits again would lose most of the update.
        """
        assert self.unmerged is None
        old = self.base
        weight, bias = self._folded(name, self.dtype if isinstance(old, NF4Linear) else old.weight.dtype)
        merged = Linear(self.in_features, self.out_features, bias=False, device="meta")
        merged.weight = nn.Parameter(weight, requires_grad=False)
        merged.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.base, self.unmerged = merged, old

    @torch.no_grad()
    def _folded(self, name: str, dtype: torch.dtype) -> Product:
        """Weight and bias with the adapter's updates in them."""
        old, wide = self.base, torch.promote_types(dtype, torch.float32)
        weight = old.weight_in(wide) if isinstance(old, NF4Linear) else old.weight.detach().to(wide, copy=True)
        bias = None if old.bias is None else old.bias.detach().to(wide, copy=True)
        for update in self.updates_of(name):
            own = slice(update.start, update.start + update.rows)
            weight[own], changed = update.merged(weight[own], None if bias is None else bias[own])
            if bias is not None and changed is not None:
                bias[own] = changed
        return weight.to(dtype), None if bias is None else bias.to(dtype)

    def unmerge(self) -> None:
        assert self.unmerged is not None
        self.base, self.unmerged = self.unmerged, None


@dataclass(frozen=True, kw_only=True)
class _Stacked:
    """The updates of n adapters to one layer, for batched products. Where ranks differ, or an adapter leaves a part of
    the layer as it is, there are zeros."""

    down: Float[Tensor, "n P D"]
    """A of each, of all parts of the layer one under another."""
    up: list[tuple[int, Float[Tensor, "n _ R"]]]
    """B of each part, with the layer's row that the part begins at, in order."""
    rank: int
    rows: int
    """Of the layer."""

    def of(self, x: Float[Tensor, "n m D"]) -> Float[Tensor, "n m F"]:
        """B A x."""
        middle = torch.bmm(x, self.down.mT).split(self.rank, dim=2)
        pieces, position = [], 0
        for (start, up), own in zip(self.up, middle, strict=True):
            if start > position:
                pieces.append(x.new_zeros(*x.shape[:2], start - position))
            pieces.append(torch.bmm(own, up.mT))
            position = start + up.shape[1]
        if position < self.rows:
            pieces.append(x.new_zeros(*x.shape[:2], self.rows - position))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)


def _joined(updates: list[LinearUpdate], factors: list[Factors], rows: int) -> Factors:
    """One A and one B for all updates: two products instead of two for each, and no copy of what they are added to.

    Rows of the layer that no update covers get rows of zeros in B.
    """
    if len(updates) == 1 and updates[0].rows == rows:
        return factors[0]
    blocks, position = [], 0
    for update, (_, b) in zip(updates, factors, strict=True):
        assert update.start >= position
        blocks += [b.new_zeros(update.start - position, 0), b]
        position = update.start + update.rows
    blocks.append(blocks[-1].new_zeros(rows - position, 0))
    return torch.cat([a for a, _ in factors]), torch.block_diag(*blocks)


def adapted_linear(model: nn.Module, path: str, adapters: AdapterSet) -> AdaptedLinear:
    """The linear layer at ``path``, wrapped."""

    def wrapped(module: nn.Module) -> Holder:
        assert isinstance(module, nn.Linear | NF4Linear)
        return AdaptedLinear(module, adapters.routing)

    layer = held(model, path, AdaptedLinear, wrapped)
    assert isinstance(layer, AdaptedLinear)
    return layer
