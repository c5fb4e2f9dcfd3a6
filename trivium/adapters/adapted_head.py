"""The output head under low-rank updates: logits of (W + s B A) h, in the chunks of the head itself."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Routing
from trivium.adapters.head_holder import HeadHolder
from trivium.adapters.holder import Holder, held
from trivium.adapters.lora import LowRankUpdate
from trivium.adapters.shared_table import SharedUpdate
from trivium.nn.head import OutputHead
from trivium.nn.linear import linear


class AdaptedHead(HeadHolder):
    """A frozen output head and the updates of any number of adapters.

    A call is one of the head with the matrix [W, s B] for [h, A h], which is formed for it: the chunked losses of
    `OutputHead` then hold as they are.
    """

    def __init__(self, base: OutputHead, routing: Routing) -> None:
        super().__init__(base, routing)
        self.base: OutputHead = base
        self.unmerged: OutputHead | None = None

    def add(self, name: str, update: LowRankUpdate | SharedUpdate) -> None:
        """The part of the adapter ``name``."""
        self.updates[name] = update

    def said(self, name: str | None, hidden: Float[Tensor, "... D"], *given: object) -> Float[Tensor, "..."]:
        if name is None:
            return self.base(hidden, *given)
        update = self._update(name)
        a, b = update.factors() if isinstance(update, SharedUpdate) else (update.A, update.B)
        inner = linear(update.dropout(hidden), a)
        weight = torch.cat([self.base.weight, b * update.scale], dim=1)
        return torch.func.functional_call(self.base, {"weight": weight}, (torch.cat([hidden, inner], dim=-1), *given))

    def _update(self, name: str) -> LowRankUpdate | SharedUpdate:
        update = self.updates[name]
        assert isinstance(update, LowRankUpdate | SharedUpdate)
        return update

    @torch.no_grad()
    def merge(self, name: str) -> None:
        """Fold the update into the matrix, in fp32 at least; the old one is kept."""
        assert self.unmerged is None
        old, update = self.base, self._update(name)
        if isinstance(update, SharedUpdate):
            weight = update.merged(old.weight)
        else:
            wide = torch.promote_types(old.weight.dtype, torch.float32)
            full = update.merged(old.weight.to(wide), None)[0].to(old.weight.dtype)
            weight = nn.Parameter(full, requires_grad=False)
        with torch.device("meta"):
            merged = OutputHead(weight.shape[1], weight.shape[0], scale=old.scale, soft_cap=old.soft_cap)
        merged.weight, merged.bias = weight, old.bias
        self.base, self.unmerged = merged, old

    def unmerge(self) -> None:
        assert self.unmerged is not None
        self.base, self.unmerged = self.unmerged, None
        for update in self.updates.children():
            if isinstance(update, SharedUpdate):
                update.unmerge()


def adapted_head(model: nn.Module, path: str, adapters: AdapterSet) -> AdaptedHead:
    """The output head at ``path``, wrapped."""

    def wrapped(module: nn.Module) -> Holder:
        assert isinstance(module, OutputHead)
        return AdaptedHead(module, adapters.routing)

    layer = held(model, path, AdaptedHead, wrapped)
    assert isinstance(layer, AdaptedHead)
    return layer
